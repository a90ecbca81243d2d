//! scratch
use testbed::exchange::*;
use testbed::*;
fn main() -> anyhow::Result<()> {
    let mut c = Cluster::start(&Spec::two_nodes())?;
    let p = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    c.start_agents_with(&p, &["--ring-capacity", "65535"])?;
    std::thread::sleep(std::time::Duration::from_millis(
        std::env::args().nth(2).unwrap().parse()?,
    ));
    exchange::udp(
        c.pod("shop/web-0")?,
        c.pod("shop/api-0")?,
        Family::V4,
        7001,
        2,
    )?;
    println!("{}", c.directory().display());
    std::io::stdin().read_line(&mut String::new())?;
    println!("{}", c.last_words());
    Ok(())
}
