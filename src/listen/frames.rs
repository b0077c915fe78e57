//! How much of an HTTP/2 connection's input is a head that is not complete: the frames are counted as they pass, not read.
//!
//! h2 bounds one header block, and keeps each frame until it is whole. Neither tells how much that is at a time.

/// Where the input stands, between and within frames (RFC 9113 §4.1).
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// The bytes of the preface that are still to come.
    preface: usize,
    head: [u8; HEAD],
    /// How much of a frame's head has come; all of it while its payload is on the way.
    got: usize,
    /// What is still to come of the payload.
    rest: usize,
    /// What has come of a header block that has not ended.
    block: usize,
}

/// A frame's head.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

// === impl Frames ===

impl Frames {
    /// Before a preface of so many bytes.
    pub(super) fn after(preface: usize) -> Self {
        Self { preface, ..Self::default() }
    }

    /// Takes note of further input. Returns how many streams it resets.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> i32 {
        let mut resets = 0;
        skip(&mut self.preface, &mut bytes);
        while !bytes.is_empty() {
            if self.got < HEAD {
                let count = bytes.len().min(HEAD - self.got);
                let (now, later) = bytes.split_at(count);
                if let Some(place) = self.head.get_mut(self.got..self.got + count) {
                    place.copy_from_slice(now);
                }
                self.got += count;
                bytes = later;
                if self.got < HEAD {
                    break;
                }
                self.rest = self.length();
            }
            let count = skip(&mut self.rest, &mut bytes);
            if self.is_of_head() {
                self.block += count;
            }
            if self.rest == 0 {
                resets += i32::from(self.kind() == RST_STREAM);
                self.end();
            }
        }
        resets
    }

    /// What a header block without its end has so far, in bytes.
    pub(super) fn block(&self) -> usize {
        self.block
    }

    /// What a frame without its end has so far, in bytes. A body's is not counted: its request exists.
    pub(super) fn frame(&self) -> usize {
        match self.got {
            0..HEAD => self.got,
            _ if self.kind() == DATA => 0,
            _ => HEAD + self.length() - self.rest,
        }
    }

    fn end(&mut self) {
        self.got = 0;
        if self.is_of_head() && self.flags() & END_HEADERS != 0 {
            self.block = 0;
        }
    }

    fn length(&self) -> usize {
        let [a, b, c, ..] = self.head;
        usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)
    }

    fn kind(&self) -> u8 {
        self.head[3]
    }

    fn flags(&self) -> u8 {
        self.head[4]
    }

    fn is_of_head(&self) -> bool {
        matches!(self.kind(), HEADERS | CONTINUATION)
    }
}

/// Goes on by as much as is wanted and there; returns how much that was.
fn skip(wanted: &mut usize, bytes: &mut &[u8]) -> usize {
    let count = bytes.len().min(*wanted);
    *wanted -= count;
    *bytes = bytes.get(count..).unwrap_or_default();
    count
}

#[cfg(test)]
mod tests {
    use super::{CONTINUATION, DATA, END_HEADERS, Frames, HEAD, HEADERS, RST_STREAM};

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD + payload, 0);
        frame
    }

    /// What is open after each of these inputs, whether they come whole or byte by byte.
    fn open(inputs: &[Vec<u8>]) -> Vec<(usize, usize)> {
        let (mut whole, mut single) = (Frames::after(3), Frames::after(3));
        whole.pass(b"PRI");
        single.pass(b"PRI");
        let mut all = Vec::new();
        for input in inputs {
            whole.pass(input);
            for byte in input {
                single.pass(std::slice::from_ref(byte));
            }
            assert_eq!((whole.block(), whole.frame()), (single.block(), single.frame()));
            all.push((whole.block(), whole.frame()));
        }
        all
    }

    #[test]
    fn a_block_is_open_until_its_end() {
        let inputs = [
            frame(HEADERS, 0, 100),
            frame(CONTINUATION, 0, 50),
            frame(CONTINUATION, 0, 0),
            frame(CONTINUATION, END_HEADERS, 7),
            frame(HEADERS, END_HEADERS, 9),
        ];
        assert_eq!(open(&inputs), [(100, 0), (150, 0), (150, 0), (0, 0), (0, 0)]);
    }

    #[test]
    fn a_frame_is_open_until_its_end_unless_it_is_a_bodys() {
        let mut half = frame(HEADERS, END_HEADERS, 100);
        half.truncate(HEAD + 40);
        assert_eq!(open(&[half[..5].to_vec(), half[5..].to_vec(), vec![0; 60]]), [(0, 5), (40, 49), (0, 0)]);
        let mut body = frame(DATA, 0, 100);
        body.truncate(HEAD + 40);
        assert_eq!(open(&[body]), [(0, 0)]);
    }

    #[test]
    fn counts_resets() {
        let mut frames = Frames::after(0);
        let many: Vec<u8> = (0..3).flat_map(|_| [frame(HEADERS, END_HEADERS, 5), frame(RST_STREAM, 0, 4)].concat()).collect();
        assert_eq!(many.chunks(4).map(|chunk| frames.pass(chunk)).sum::<i32>(), 3);
    }
}
