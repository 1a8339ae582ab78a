//! Files on the way, as POSIX's ustar has them, with long names as GNU tar has them.
//!
//! Only what `cp` needs: what is no file, folder or symbolic link is known by that alone.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Everything comes in blocks of so many bytes.
const BLOCK: usize = 512;

/// How long a name may be that does not fit in a header.
const NAME_BYTES_MAX: u64 = 64 * 1024;

/// How long a name is that fits.
const SHORT: usize = 100;

/// What something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes follow.
    File,
    /// Others are in it.
    Folder,
    /// It leads elsewhere.
    Link(String),
    /// Something else, which cannot be copied.
    Other,
}

/// What stands before the bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How many bytes follow.
    pub size: u64,
    /// Its permissions.
    pub mode: u32,
}

impl Entry {
    /// The blocks before its bytes.
    pub fn header(&self) -> Vec<u8> {
        let mut blocks = Vec::new();
        let target = if let Kind::Link(target) = &self.kind { target.as_str() } else { "" };
        for (text, flag) in [(self.name.as_str(), b'L'), (target, b'K')] {
            if text.len() > SHORT {
                let bytes = [text.as_bytes(), &[0]].concat();
                blocks.extend(block("././@LongLink", flag, bytes.len() as u64, 0, ""));
                blocks.extend(&bytes);
                blocks.resize(blocks.len() + padding(bytes.len() as u64), 0);
            }
        }
        let flag = match self.kind {
            Kind::Folder => b'5',
            Kind::Link(_) => b'2',
            Kind::File | Kind::Other => b'0',
        };
        blocks.extend(block(&self.name, flag, self.size, self.mode, target));
        blocks
    }
}

/// What stands behind all files.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// How many bytes are missing to a whole block.
pub fn padding(size: u64) -> usize {
    let over = (size % BLOCK as u64) as usize;
    if over == 0 { 0 } else { BLOCK - over }
}

fn block(name: &str, flag: u8, size: u64, mode: u32, target: &str) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8], room: usize| {
        let fits = bytes.len().min(room);
        block[at..at + fits].copy_from_slice(&bytes[..fits]);
    };
    put(0, name.as_bytes(), SHORT);
    put(100, format!("{:07o}", mode & 0o7777).as_bytes(), 8);
    put(108, b"0000000", 8);
    put(116, b"0000000", 8);
    if size < 1 << 33 {
        put(124, format!("{size:011o}").as_bytes(), 12);
    } else {
        // More than eleven octal digits hold is in binary.
        put(124, &[0x80, 0, 0, 0], 4);
        put(128, &size.to_be_bytes(), 8);
    }
    put(136, b"00000000000", 12);
    put(156, &[flag], 1);
    put(157, target.as_bytes(), SHORT);
    put(257, b"ustar\x0000", 8);
    let sum = checksum(&block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// The sum of a header's bytes, those of the sum itself taken for blanks.
fn checksum(block: &[u8; BLOCK]) -> u64 {
    let byte = |(at, byte): (usize, &u8)| u64::from(if (148..156).contains(&at) { b' ' } else { *byte });
    block.iter().enumerate().map(byte).sum()
}

/// Reads what comes.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    /// Bytes of the file that was found last that were not read yet, and those behind them.
    left: u64,
    padding: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// From the beginning.
    pub fn new(from: R) -> Self {
        Self { from, left: 0, padding: 0 }
    }

    /// The next one; `None` at the end.
    ///
    /// # Errors
    /// When what comes is no archive, or ends too early.
    pub async fn next(&mut self) -> io::Result<Option<Entry>> {
        let (mut long_name, mut long_target) = (None, None);
        loop {
            self.skip().await?;
            let mut block = [0; BLOCK];
            if self.from.read(&mut block[..1]).await? == 0 {
                return Ok(None);
            }
            self.from.read_exact(&mut block[1..]).await?;
            if block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            if number(&block[148..156])? != checksum(&block) {
                return Err(corrupted());
            }
            let size = number(&block[124..136])?;
            (self.left, self.padding) = (size, padding(size));
            match block[156] {
                b'L' => long_name = Some(until_zero(&self.text(size).await?)),
                b'K' => long_target = Some(until_zero(&self.text(size).await?)),
                b'x' => {
                    let records = self.text(size).await?;
                    long_name = record(&records, "path").or(long_name);
                    long_target = record(&records, "linkpath").or(long_target);
                }
                // It is about all that follow: nothing that matters here.
                b'g' => {}
                flag => {
                    let target = long_target.unwrap_or_else(|| until_zero(&block[157..257]));
                    let kind = match flag {
                        b'0' | 0 | b'7' => Kind::File,
                        b'5' => Kind::Folder,
                        b'2' => Kind::Link(target),
                        _ => Kind::Other,
                    };
                    let name = long_name.unwrap_or_else(|| short_name(&block));
                    let mode = u32::try_from(number(&block[100..108])?).unwrap_or(0);
                    return Ok(Some(Entry { name, kind, size, mode }));
                }
            }
        }
    }

    /// More bytes of the file that was found last; 0 at its end.
    ///
    /// # Errors
    /// When they do not come.
    pub async fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let room = piece.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(0);
        }
        let count = self.from.read(&mut piece[..room]).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }

    async fn skip(&mut self) -> io::Result<()> {
        let mut piece = [0; 8 * BLOCK];
        while self.read(&mut piece).await? > 0 {}
        self.from.read_exact(&mut piece[..self.padding]).await?;
        self.padding = 0;
        Ok(())
    }

    /// What stands in the place of a file.
    async fn text(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > NAME_BYTES_MAX {
            return Err(corrupted());
        }
        let mut text = vec![0; usize::try_from(size).unwrap_or(0)];
        self.from.read_exact(&mut text).await?;
        self.left = 0;
        Ok(text)
    }
}

fn corrupted() -> io::Error {
    io::Error::other("tar contents corrupted")
}

fn until_zero(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// POSIX gives a name two places; GNU has something else in the second.
fn short_name(block: &[u8; BLOCK]) -> String {
    let (name, prefix) = (until_zero(&block[..SHORT]), until_zero(&block[345..500]));
    let is_posix = &block[257..263] == b"ustar\0";
    if is_posix && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
}

/// Octal digits, or where the first bit is set bytes.
fn number(field: &[u8]) -> io::Result<u64> {
    if field[0] & 0x80 != 0 {
        return Ok(field[1..].iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte)));
    }
    let text = until_zero(field);
    let digits = text.trim();
    if digits.is_empty() { Ok(0) } else { u64::from_str_radix(digits, 8).map_err(|_| corrupted()) }
}

/// The value of a name among records `LENGTH NAME=VALUE\n`.
fn record(records: &[u8], name: &str) -> Option<String> {
    let mut rest = records;
    while let Some(blank) = rest.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&rest[..blank]).ok()?.parse().ok()?;
        let whole = rest.get(blank + 1..length.checked_sub(1)?)?;
        let (key, value) = whole.split_at(whole.iter().position(|byte| *byte == b'=')?);
        if key == name.as_bytes() {
            return Some(String::from_utf8_lossy(&value[1..]).into_owned());
        }
        rest = rest.get(length..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(archive: &[u8]) -> io::Result<Vec<(Entry, String)>> {
        base::env::simulate(1, async {
            let mut reader = Reader::new(archive);
            let mut found = Vec::new();
            while let Some(entry) = reader.next().await? {
                let (mut bytes, mut piece) = (Vec::new(), [0; 7]);
                loop {
                    match reader.read(&mut piece).await? {
                        0 => break,
                        count => bytes.extend(&piece[..count]),
                    }
                }
                found.push((entry, String::from_utf8_lossy(&bytes).into_owned()));
            }
            Ok(found)
        })
    }

    fn file(name: &str, text: &str) -> (Entry, String) {
        let entry = Entry { name: name.to_owned(), kind: Kind::File, size: text.len() as u64, mode: 0o644 };
        (entry, text.to_owned())
    }

    fn archive(files: &[(Entry, String)]) -> Vec<u8> {
        let one = |(entry, text): &(Entry, String)| {
            [entry.header(), text.clone().into_bytes(), vec![0; padding(entry.size)]].concat()
        };
        [files.iter().flat_map(one).collect(), END.to_vec()].concat()
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let link = Entry { name: "l".to_owned(), kind: Kind::Link("t".repeat(200)), size: 0, mode: 0o777 };
        let folder = Entry { name: "d".to_owned(), kind: Kind::Folder, size: 0, mode: 0o755 };
        let files = [
            file("a", "hello"),
            (folder, String::new()),
            file(&format!("d/{}", "n".repeat(300)), &"x".repeat(1024)),
            (link, String::new()),
            file("empty", ""),
        ];
        assert_eq!(read(&archive(&files)).expect("an archive"), files);
    }

    #[test]
    fn what_gnu_tar_packs_is_unpacked() {
        let root = tempfile::tempdir().expect("temporary directory");
        let long = format!("{}/{}", "f".repeat(120), "n".repeat(120));
        std::fs::create_dir_all(root.path().join("x").join("f".repeat(120))).expect("create");
        std::fs::write(root.path().join("x").join(&long), "deep").expect("write");
        for format in ["gnu", "posix", "ustar"] {
            let packed = std::process::Command::new("tar")
                .args(["-c", "-f", "-", "--format", format, "-C"])
                .arg(root.path())
                .arg("x")
                .output();
            let Ok(packed) = packed.filter_gnu() else {
                eprintln!("skipped: there is no GNU tar");
                return;
            };
            let found = read(&packed).expect("an archive");
            let last = found.last().expect("a file");
            assert_eq!(
                (last.0.name.as_str(), last.1.as_str()),
                (format!("x/{long}").as_str(), "deep"),
                "{format}"
            );
        }
    }

    trait FilterGnu {
        fn filter_gnu(self) -> Result<Vec<u8>, ()>;
    }

    impl FilterGnu for io::Result<std::process::Output> {
        fn filter_gnu(self) -> Result<Vec<u8>, ()> {
            self.ok().filter(|output| output.status.success()).map(|output| output.stdout).ok_or(())
        }
    }

    #[test]
    fn what_is_no_archive_is_told() {
        let mut broken = archive(&[file("a", "hello")]);
        broken[0] ^= 1;
        assert_eq!(read(&broken).expect_err("a wrong sum").to_string(), "tar contents corrupted");
        let whole = archive(&[file("a", "hello")]);
        assert!(read(&whole[..514]).is_err());
        let huge = block("././@LongLink", b'L', NAME_BYTES_MAX + 1, 0, "");
        assert!(read(&huge).is_err());
    }
}
