//! Numbers in canonical form: digits without zeros before them, and a minus where it must be.

use super::Walker;

impl Walker<'_> {
    /// A number of 32 bits, which stands bare.
    pub(in crate::json) fn number<T: TryFrom<i128>>(&mut self) -> Option<T> {
        let is_negative = self.eat(b"-");
        let digits = self.rest();
        let (&first, _) = digits.split_first()?;
        let length = match first {
            b'0' if is_negative => return None,
            b'0' => 1,
            b'1'..=b'9' => digits
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count(),
            _ => return None,
        };
        let size = digits
            .get(..length)?
            .iter()
            .try_fold(0_u64, |number, digit| {
                number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
            })?;
        self.at += length;
        let number = i128::from(size);
        T::try_from(if is_negative { -number } else { number }).ok()
    }

    /// A number of 64 bits, which stands in quotes.
    pub(in crate::json) fn quoted_number<T: TryFrom<i128>>(&mut self) -> Option<T> {
        self.expect(b'"')?;
        let number = self.number()?;
        self.expect(b'"')?;
        Some(number)
    }
}
