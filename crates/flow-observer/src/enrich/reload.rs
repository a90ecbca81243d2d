//! Follows the inventory file: a new one is taken, a broken one is not.

use std::{
    error::Error as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flow_api::server::{Stamp, Watched};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Inventory, InventoryError, provider::Reports, standing::Standing};
use crate::counters::Counters;

/// How often to look. A changed file is read at the second look that finds it the same.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// An inventory file, as it was last seen.
#[derive(Debug)]
pub(crate) struct WatchedFile {
    path: PathBuf,
    watched: Watched<Option<Stamp>>,
    standing: Arc<Standing>,
}

impl WatchedFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// When it cannot be read or is not an inventory.
    pub(crate) fn open(path: &Path) -> Result<(Self, Inventory), InventoryError> {
        let watched = Watched::new(Stamp::of(path));
        let inventory = Inventory::read(path)?;
        let standing = Standing::new("inventory", path.display().to_string());
        standing.knows(inventory.counts());
        standing.is_good();
        let file = Self {
            path: path.to_owned(),
            watched,
            standing: Arc::new(standing),
        };
        Ok((file, inventory))
    }

    /// Who says how it is doing.
    pub(crate) fn reports(&self) -> Arc<dyn Reports> {
        Arc::clone(&self.standing) as Arc<dyn Reports>
    }

    /// What the file says now, if it is another than before, and at rest. Each change is told once,
    /// also one for the worse.
    fn look(&mut self) -> Option<Result<Inventory, InventoryError>> {
        if !self.watched.has_changed(Stamp::of(&self.path)) {
            return None;
        }
        let read = Inventory::read(&self.path);
        match &read {
            Ok(inventory) => {
                self.standing.knows(inventory.counts());
                self.standing.is_good();
            }
            Err(error) => self.standing.is_lost(with_cause(error)),
        }
        Some(read)
    }

    /// Hands each new inventory to `take` until `closing`. The last good one holds until the next.
    pub(crate) async fn follow(
        mut self,
        counters: Arc<Counters>,
        closing: CancellationToken,
        take: impl Fn(Inventory) + Send + Sync + 'static,
    ) {
        let take = Arc::new(take);
        let standing = Arc::clone(&self.standing);
        while closing
            .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
            .await
            .is_some()
        {
            let (counters, take) = (Arc::clone(&counters), Arc::clone(&take));
            // A large file takes a second to read.
            let looked = spawn_blocking(move || {
                match self.look() {
                    None => {}
                    Some(Ok(inventory)) => {
                        counters.inventory_taken();
                        info!(path = %self.path.display(), "inventory changed");
                        take(inventory);
                    }
                    Some(Err(error)) => {
                        counters.inventory_refused();
                        let cause = error.source().map(tracing::field::display);
                        warn!(%error, cause, "inventory is broken: the one before holds");
                    }
                }
                self
            });
            match looked.await {
                Ok(watched) => self = watched,
                Err(error) => {
                    warn!(%error, "the inventory is not followed any more");
                    standing.is_lost(format!("not followed any more: {error}"));
                    return;
                }
            }
        }
    }
}

fn with_cause(error: &InventoryError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::enrich::ProviderState;

    const ONE: &str = "nodes: [{ name: one }]\n";
    const TWO: &str = "nodes: [{ name: two }]\n";

    struct Watching {
        directory: tempfile::TempDir,
        file: WatchedFile,
    }

    impl Watching {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("one"), ONE).unwrap();
            symlink("one", directory.path().join("inventory")).unwrap();
            let (file, inventory) = WatchedFile::open(&directory.path().join("inventory")).unwrap();
            assert_eq!(inventory.nodes[0].name, "one");
            Self { directory, file }
        }

        fn write(&self, text: &str) {
            fs::write(self.directory.path().join("inventory"), text).unwrap();
        }

        /// What two looks tell: the node's name, or the error.
        fn told(&mut self) -> Vec<String> {
            (0..2)
                .filter_map(|_| self.file.look())
                .map(|told| match told {
                    Ok(inventory) => inventory.nodes[0].name.clone(),
                    Err(error) => error.to_string(),
                })
                .collect()
        }
    }

    #[test]
    fn a_changed_file_is_read_once_and_when_it_is_at_rest() {
        let mut watching = Watching::new();
        assert!(watching.told().is_empty());
        watching.write(&format!("{TWO}#"));
        assert!(watching.file.look().is_none(), "still being written?");
        watching.write(TWO);
        assert!(watching.file.look().is_none(), "still being written?");
        assert_eq!(watching.told(), ["two"]);
        assert!(watching.told().is_empty());
    }

    #[test]
    fn a_link_that_is_turned_is_followed() {
        let mut watching = Watching::new();
        let path = watching.directory.path();
        fs::write(path.join("two"), TWO).unwrap();
        symlink("two", path.join("new")).unwrap();
        fs::rename(path.join("new"), path.join("inventory")).unwrap();
        assert_eq!(watching.told(), ["two"]);
    }

    #[test]
    fn a_broken_file_is_told_once_with_its_line_and_a_repaired_one_is_read() {
        let mut watching = Watching::new();
        watching.write("nodes:\n  - nmae: two\n");
        let told = watching.told().join("");
        assert!(told.contains("inventory:2: unknown field"), "{told}");
        assert!(watching.told().is_empty());
        watching.write(TWO);
        assert_eq!(watching.told(), ["two"]);
    }

    #[test]
    fn a_file_that_is_gone_is_told_once_and_read_when_it_is_back() {
        let mut watching = Watching::new();
        fs::remove_file(watching.directory.path().join("inventory")).unwrap();
        let told = watching.told().join("");
        assert!(told.starts_with("cannot read inventory"), "{told}");
        assert!(watching.told().is_empty());
        watching.write(TWO);
        assert_eq!(watching.told(), ["two"]);
    }

    #[test]
    fn its_status_names_the_line_that_is_broken_until_it_is_repaired() {
        let mut watching = Watching::new();
        let reports = watching.file.reports();
        let good = reports.report();
        assert_eq!((good.state, good.objects), (ProviderState::Connected, 1));
        watching.write("nodes:\n  - nmae: two\n");
        watching.told();
        let lost = reports.report();
        assert_eq!((lost.state, lost.objects), (ProviderState::Lost, 1));
        let place = format!("{}:2: unknown field", watching.file.path.display());
        assert!(lost.reason.starts_with(&place), "{}", lost.reason);
        fs::remove_file(watching.directory.path().join("inventory")).unwrap();
        watching.told();
        let gone = reports.report().reason;
        assert!(
            gone.ends_with("No such file or directory (os error 2)"),
            "{gone}"
        );
        watching.write("nodes: [{ name: two }, { name: three }]\n");
        watching.told();
        let again = reports.report();
        assert_eq!((again.state, again.objects), (ProviderState::Connected, 2));
        assert_eq!(again.reason, "");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_and_what_is_refused_is_counted() {
        let watching = Watching::new();
        let counters = Arc::new(Counters::default());
        let closing = CancellationToken::new();
        let (sender, mut taken) = tokio::sync::mpsc::channel(1);
        let following = tokio::spawn(watching.file.follow(
            Arc::clone(&counters),
            closing.clone(),
            move |inventory| sender.blocking_send(inventory).unwrap(),
        ));
        let path = watching.directory.path().join("inventory");
        fs::write(&path, "nodes: [").unwrap();
        let count = |what| {
            let counts = counters.stages();
            let found = counts.into_iter().find(|count| count.what == what);
            found.map_or(0, |count| count.count)
        };
        while count("inventories_refused") == 0 {
            tokio::time::advance(LOOK_EVERY).await;
            tokio::task::yield_now().await;
        }
        fs::write(&path, TWO).unwrap();
        assert_eq!(taken.recv().await.unwrap().nodes[0].name, "two");
        assert_eq!(
            (count("inventories_taken"), count("inventories_refused")),
            (1, 1)
        );
        closing.cancel();
        following.await.unwrap();
    }
}
