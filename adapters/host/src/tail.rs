//! The last of what a program says.

use std::{collections::VecDeque, io, time::Duration};

use tokio::{net::unix::pipe::Receiver, time::timeout};
use volsnap_core::ports::TOLD_MAX;

/// How long bytes that have been written may take to be heard of.
const MOMENT: Duration = Duration::from_millis(50);

/// The last bytes of a pipe.
#[derive(Debug, Default)]
pub(crate) struct Tail(VecDeque<u8>);

impl Tail {
    /// Reads what comes next; `false` if nothing more will come. Nothing is lost if it is not waited for to the end.
    pub(crate) async fn read(&mut self, pipe: &Receiver) -> bool {
        match pipe.readable().await {
            Ok(()) => self.read_now(pipe).unwrap_or(true),
            Err(_) => false,
        }
    }

    /// Reads what has been said by now.
    pub(crate) async fn drain(&mut self, pipe: &Receiver) {
        // A program in the background that speaks without end is not listened to without end.
        for _ in 0..64 {
            // The runtime hears of bytes a moment after they have come.
            match timeout(MOMENT, self.read(pipe)).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// `None` if nothing has been said, `Some(false)` at the end.
    fn read_now(&mut self, pipe: &Receiver) -> Option<bool> {
        let mut buffer = [0; 8192];
        match pipe.try_read(&mut buffer) {
            Ok(0) => Some(false),
            Ok(count) => {
                self.push(&buffer[..count]);
                Some(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Some(true),
            Err(_) => Some(false),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let surplus = self.0.len().saturating_sub(TOLD_MAX);
        self.0.drain(..surplus);
    }

    pub(crate) fn is_blank(&self) -> bool {
        self.0.iter().all(u8::is_ascii_whitespace)
    }

    pub(crate) fn text(mut self) -> String {
        let mut text = String::from_utf8_lossy(self.0.make_contiguous()).into_owned();
        // A character that was cut in front was replaced by a longer one.
        while text.len() > TOLD_MAX {
            text.remove(0);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_of_it_is_kept() {
        let mut tail = Tail::default();
        tail.push(&[b'a'; TOLD_MAX]);
        tail.push("ü".repeat(TOLD_MAX).as_bytes());
        tail.push(b"the end");
        let text = tail.text();
        assert!(text.len() <= TOLD_MAX && text.ends_with("üthe end"), "{}", text.len());
    }
}
