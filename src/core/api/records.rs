//! Where the records of TLS end: rustls does not tell whether it holds the beginning of one.

use std::io::{self, IoSlice, Read, Write};

/// Type, version and length (RFC 8446 section 5.1).
const HEADER: usize = 5;

/// A connection, and how much of the server's last record has been read from it.
pub struct Records<S> {
    pub inner: S,
    header: [u8; HEADER],
    /// Of the header.
    read: usize,
    /// Of the record, once its header has been read.
    left: usize,
}

impl<S> Records<S> {
    /// One of which nothing has been read.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            header: [0; HEADER],
            read: 0,
            left: 0,
        }
    }

    /// Whether no record has been read in part.
    pub fn is_complete(&self) -> bool {
        self.read == 0 && self.left == 0
    }

    fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let amount = if self.left > 0 {
                let amount = self.left.min(bytes.len());
                self.left -= amount;
                amount
            } else {
                self.follow_header(bytes)
            };
            bytes = bytes.get(amount..).unwrap_or_default();
        }
    }

    fn follow_header(&mut self, bytes: &[u8]) -> usize {
        let missing = self.header.iter_mut().skip(self.read);
        let amount = missing.zip(bytes).map(|(to, from)| *to = *from).count();
        self.read += amount;
        if self.read == HEADER {
            let [.., high, low] = self.header;
            (self.read, self.left) = (0, usize::from(u16::from_be_bytes([high, low])));
        }
        amount
    }
}

impl<S: Read> Read for Records<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let amount = self.inner.read(buffer)?;
        self.follow(buffer.get(..amount).unwrap_or_default());
        Ok(amount)
    }
}

impl<S: Write> Write for Records<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write(bytes)
    }

    /// Several records leave together: ureq's adapter takes one piece, and each would be a packet of its own.
    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match pieces {
            [one] => self.inner.write(one),
            several => {
                let several: Vec<_> = several.iter().map(|piece| &**piece).collect();
                self.inner.write(&several.concat())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts its writes, and takes so many bytes of each.
    struct Counted(Vec<Vec<u8>>, usize);

    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let amount = bytes.len().min(self.1);
            self.0.push(bytes[..amount].to_vec());
            Ok(amount)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn several_records_are_one_write_and_what_was_not_taken_is_told() {
        let pieces = [b"ab".as_slice(), b"", b"cde"].map(IoSlice::new);
        for (most, written) in [(9, "abcde"), (3, "abc")] {
            let mut records = Records::new(Counted(Vec::new(), most));
            let amount = records.write_vectored(&pieces).unwrap();
            assert_eq!(amount, written.len());
            assert_eq!(records.inner.0, [written.as_bytes()]);
        }
        let mut records = Records::new(Counted(Vec::new(), 9));
        assert_eq!(records.write_vectored(&pieces[..1]).unwrap(), 2);
        assert_eq!(records.write_vectored(&[]).unwrap(), 0);
    }

    #[test]
    fn a_record_is_complete_with_its_last_byte_however_it_arrives() {
        let bytes = [[22, 3, 3, 0, 2, 8, 9].as_slice(), &[23, 3, 3, 0, 0], &[23]].concat();
        let complete = [7, 12];
        for piece in 1..=bytes.len() {
            let (mut records, mut sent) = (Records::new(bytes.as_slice()), 0);
            while sent < bytes.len() {
                sent += records.read(&mut vec![0; piece]).unwrap();
                assert_eq!(
                    records.is_complete(),
                    complete.contains(&sent),
                    "{piece} {sent}"
                );
            }
        }
    }
}
