//! What processes say, collected while they run.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::eventually;

/// The text of some streams, each read by a thread of its own until it ends.
#[derive(Debug, Default)]
pub(crate) struct Said {
    bytes: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Said {
    /// Reads a stream, too.
    pub(crate) fn follow(&mut self, mut stream: impl Read + Send + 'static) {
        let bytes = Arc::clone(&self.bytes);
        self.readers.push(std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                bytes.lock().expect("no panic").extend_from_slice(&buffer[..read]);
            }
        }));
    }

    /// Everything so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no panic")).into_owned()
    }

    /// Waits until everything is read that a process had written when it ended.
    pub(crate) async fn all(&self) {
        eventually(Duration::from_secs(30), async || self.readers.iter().all(JoinHandle::is_finished)).await;
    }
}
