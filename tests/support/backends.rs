//! The two backends of the store: a case that runs on each, and a place on one that nobody has used.

use portcullis::store::Backend;
use tempfile::TempDir;

use crate::databases;

/// Runs each case on both backends, in a home of its own.
#[macro_export]
macro_rules! both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::home::Home::new(portcullis::store::Backend::Sqlite)).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case($crate::home::Home::new(portcullis::store::Backend::Postgres)).await;
            })*
        }
    };
}

/// A folder, and the URL of a store: a SQLite file in the folder, or a database on the shared server.
pub fn place(backend: Backend) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = match backend {
        Backend::Sqlite => format!("sqlite://{}", folder.path().join("data/store.db").display()),
        Backend::Postgres => databases::shared().new_database(),
    };
    (folder, url)
}
