//! A client that sends exactly the bytes that it is told to: what libraries would mend is what proxies and tokend have to
//! withstand.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::support::soon;

/// A request whose head is on its way.
pub(crate) struct Exchange {
    stream: BufReader<TcpStream>,
    is_head: bool,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Sends a head, its lines as they stand and an empty one after them, and reads the answer.
pub(crate) async fn ask(port: u16, head: &str) -> Answer {
    Exchange::begin(port, head).await.answer().await
}

// === impl Exchange ===

impl Exchange {
    /// Sends a head.
    pub(crate) async fn begin(port: u16, head: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a proxy");
        let lines: String = head.lines().map(|line| format!("{}\r\n", line.trim_start())).collect();
        stream.write_all(format!("{lines}\r\n").as_bytes()).await.expect("it listens");
        Self { stream: BufReader::new(stream), is_head: head.starts_with("HEAD ") }
    }

    /// Sends some of the body, or of what is spoken after an upgrade.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.expect("it listens");
    }

    /// Reads so many bytes that come after the answer.
    pub(crate) async fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        soon(self.stream.read_exact(&mut bytes)).await.expect("so many bytes");
        bytes
    }

    /// The answer, whole.
    pub(crate) async fn answer(&mut self) -> Answer {
        let status_line = self.line().await;
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: String::new() };
        let has_body = !self.is_head && !matches!(status, 101 | 204 | 304);
        if has_body {
            answer.body = self.body(&answer).await;
        }
        answer
    }

    async fn body(&mut self, head: &Answer) -> String {
        let mut body = Vec::new();
        if head.header("transfer-encoding") == ["chunked"] {
            loop {
                let size = usize::from_str_radix(&self.line().await, 16).expect("a chunk's size");
                body.extend(self.read(size).await);
                self.line().await;
                if size == 0 {
                    break;
                }
            }
        } else if let [length] = head.header("content-length")[..] {
            body = self.read(length.parse().expect("a length")).await;
        } else {
            soon(self.stream.read_to_end(&mut body)).await.expect("an end");
        }
        String::from_utf8(body).expect("text")
    }

    /// A line without its end.
    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        let read = tokio::io::AsyncBufReadExt::read_until(&mut self.stream, b'\n', &mut line);
        soon(read).await.expect("a line");
        String::from_utf8(line).expect("text").trim_end().to_owned()
    }
}

// === impl Answer ===

impl Answer {
    /// Every value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(mine, _)| mine == name).map(|(_, value)| value.as_str()).collect()
    }
}
