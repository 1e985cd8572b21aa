//! How much is free on the disk where facts are stored: part of what a backup has to prove.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use super::ToNode;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(30);

/// Tells the node until it has stopped. A disk that hangs keeps this task waiting and nothing else.
pub async fn watch(store: PathBuf, to_node: mpsc::Sender<ToNode>) {
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tick.tick().await;
        let store = store.clone();
        let looked = tokio::task::spawn_blocking(move || free(&store)).await;
        if let Ok(Some(free)) = looked
            && to_node.send(ToNode::Disk { free }).await.is_err()
        {
            return;
        }
    }
}

/// Bytes that are free beside a file; `None`: nobody can say.
fn free(file: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(file.parent()?).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_node_hears_at_once_how_much_is_free() {
        let (to_node, mut told) = super::super::to_node_channel();
        let store = std::env::temp_dir().join("portkeeper.db");
        let watch = tokio::spawn(watch(store, to_node));
        let Some(ToNode::Disk { free }) = told.recv().await else { panic!("nothing was told") };
        assert!(free > 0);
        watch.abort();
        assert_eq!(super::free(Path::new("/no/such/directory/portkeeper.db")), None);
    }
}
