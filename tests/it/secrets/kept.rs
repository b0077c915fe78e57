//! Where log lines and spans go, so that they can be looked through.

use std::io::{Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What is written to it, kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

// === impl Kept ===

impl Kept {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("no panic").clone()
    }

    /// A collector of spans: takes whatever is posted to it, until the test's process ends.
    pub(crate) fn collector() -> (Self, String) {
        let (kept, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").expect("a port"));
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let all = kept.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                all.collect(stream);
            }
        });
        (kept, endpoint)
    }

    /// Reads one request and answers it.
    fn collect(&self, mut stream: TcpStream) {
        let (mut request, mut buffer) = (Vec::new(), [0; 8192]);
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            request.extend_from_slice(&buffer[..read]);
            let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.parse().ok());
            if request.len() >= end + 4 + length.unwrap_or(0) {
                break;
            }
        }
        self.0.lock().expect("no panic").extend_from_slice(&request);
        // The exporter does not read on if this fails.
        let _answered = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
