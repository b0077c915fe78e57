//! What keeps a text from being PEM, or hides a part of it. A reader of PEM passes over whatever does not look like a block, so
//! that a CA or a key would be missing and nobody told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::der::{self, DerKind};
use crate::finding::Complaint;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Labels that nobody here reads, and that stand where one was meant that is read; with what makes one of those of it.
const FOREIGN: [(&str, &str, &str); 8] = [
    ("TRUSTED CERTIFICATE", "an OpenSSL trusted certificate", "openssl x509 -in TRUSTED.pem -out CERTIFICATE.pem"),
    ("X509 CERTIFICATE", "a certificate under its old label", "openssl x509 -in OLD.pem -out CERTIFICATE.pem"),
    ("PKCS7", "a PKCS#7 bundle", "openssl pkcs7 -in BUNDLE.p7b -print_certs -out CERTIFICATES.pem"),
    ("CMS", "a CMS (PKCS#7) bundle", "openssl pkcs7 -in BUNDLE.p7b -print_certs -out CERTIFICATES.pem"),
    ("PKCS12", "a PFX (PKCS#12) in base64", "decode it, and openssl pkcs12 -in STORE.pfx -nodes -out STORE.pem"),
    ("OPENSSH PRIVATE KEY", "a key in OpenSSH's format", "ssh-keygen -p -m PKCS8 -f KEY rewrites it"),
    ("DSA PRIVATE KEY", "a DSA key", "make an RSA key of 2048 bits or more"),
    ("ANY PRIVATE KEY", "a key of an unknown kind", "openssl pkey -in KEY.pem -out KEY.pem"),
];

/// What is wrong with a text that should be PEM, as long as it is not that something is missing.
pub(super) fn fault(contents: &[u8]) -> Option<Complaint> {
    if let Some(kind) = der::kind(contents) {
        return Some(binary(kind, "it is", "and no PEM text"));
    }
    // What is no text has no line that is looked at here.
    let text = String::from_utf8_lossy(contents);
    if !text.contains("-----BEGIN") {
        return bare(&text);
    }
    escaped(&text).or_else(|| locked(&text)).or_else(|| lines(&text))
}

/// Whether a block has this label.
pub(super) fn has_label(contents: &[u8], label: &str) -> bool {
    let marker = format!("{BEGIN}{label}{DASHES}");
    contents.windows(marker.len()).any(|window| window == marker.as_bytes())
}

/// The content of the first block of this label.
pub(super) fn block(contents: &[u8], label: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = std::str::from_utf8(contents).ok()?;
    let (_, rest) = text.split_once(&format!("{BEGIN}{label}{DASHES}"))?;
    let (body, _) = rest.split_once(&format!("{END}{label}{DASHES}"))?;
    let base64 = Zeroizing::new(body.split_ascii_whitespace().collect::<String>());
    STANDARD.decode(base64.as_bytes()).ok().map(Zeroizing::new)
}

fn binary(kind: DerKind, is: &str, more: &str) -> Complaint {
    let (what, remedy) = match kind {
        DerKind::Pfx => ("a PFX (PKCS#12) file", "convert it: openssl pkcs12 -in STORE.pfx -nodes -out STORE.pem"),
        DerKind::Certificate => {
            ("a certificate in DER", "convert it: openssl x509 -inform DER -in CERTIFICATE.der -out CERTIFICATE.pem")
        }
        DerKind::Key => ("a private key in DER", "convert it: openssl pkey -inform DER -in KEY.der -out KEY.pem"),
        DerKind::EncryptedKey => {
            ("an encrypted private key in DER", "convert and decrypt it: openssl pkey -inform DER -in KEY.der -out KEY.pem")
        }
        DerKind::Bundle => {
            ("a PKCS#7 bundle in DER", "convert it: openssl pkcs7 -inform DER -in BUNDLE.p7b -print_certs -out CERTIFICATES.pem")
        }
        DerKind::Other => ("binary (DER)", "convert it to PEM (-----BEGIN …-----)"),
    };
    Complaint::new(format!("{is} {what} {more}"), remedy)
}

/// Base64 alone, as consoles and vaults hand it out.
fn bare(text: &str) -> Option<Complaint> {
    let base64 = Zeroizing::new(text.split_ascii_whitespace().collect::<String>());
    let bytes = Zeroizing::new(STANDARD.decode(base64.as_bytes()).ok()?);
    if bytes.starts_with(BEGIN.as_bytes()) {
        return Some(Complaint::new("it is PEM text in base64 once more", "decode it once: base64 -d"));
    }
    let kind = der::kind(&bytes)?;
    if kind == DerKind::Pfx {
        return Some(binary(kind, "it is base64 of", "and no PEM text"));
    }
    Some(Complaint::new(
        "it is base64 without its -----BEGIN and -----END lines",
        "write these lines around it, with CERTIFICATE or PRIVATE KEY as their label",
    ))
}

fn escaped(text: &str) -> Option<Complaint> {
    let is_escaped = |line: &str| line.contains(DASHES) && (line.contains("\\n") || line.contains("\\r"));
    text.lines().any(is_escaped).then(|| {
        Complaint::new(
            "its line breaks are written as \\n",
            "write real line breaks: a text in quotes, a variable or a JSON value was taken as it is",
        )
    })
}

/// PKCS#1 under a password says so in headers of its own (RFC 1421), which are no base64.
pub(super) fn is_locked_pkcs1(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
}

fn locked(text: &str) -> Option<Complaint> {
    is_locked_pkcs1(text).then(|| {
        Complaint::new(
            "its private key is encrypted (PKCS#1 under a password)",
            "decrypt it: openssl pkey -in ENCRYPTED.pem -out KEY.pem; the file's permissions protect it then",
        )
    })
}

/// What is wrong with the lines that begin and end blocks.
fn lines(text: &str) -> Option<Complaint> {
    const ALONE: &str = "have -----BEGIN … and -----END … each at the start of a line of its own, with nothing before or after";
    let mut open: Option<(usize, &str)> = None;
    let at = |number: usize, what: &str| Some(Complaint::new(format!("line {number}: {what}"), ALONE));
    // Whoever writes `\r` alone between lines is understood as well.
    let breaks: &[char] = if text.contains('\n') { &['\n'] } else { &['\r'] };
    for (number, line) in (1..).zip(text.split(breaks)) {
        let (begin, end) = (line.find(BEGIN), line.find(END));
        match (begin, end) {
            (None, None) => {}
            (Some(begin), Some(end)) if end < begin => return at(number, "two PEM blocks are glued together"),
            (Some(_), Some(_)) => return at(number, "a PEM block has lost its line breaks"),
            (Some(begin), None) => {
                if let Some(problem) = before(line.get(..begin)?) {
                    return at(number, problem);
                }
                if let Some((opened, _)) = open {
                    return broken_off(opened);
                }
                let (label, rest) = line.get(begin + BEGIN.len()..)?.split_once(DASHES).unwrap_or_default();
                if !rest.trim().is_empty() {
                    return at(number, "a PEM block has lost its line breaks");
                }
                if let Some((_, what, how)) = FOREIGN.iter().find(|(foreign, ..)| *foreign == label) {
                    return Some(Complaint::new(format!("line {number}: it is {what}"), *how));
                }
                open = Some((number, label));
            }
            (None, Some(end)) => {
                if let Some(problem) = before(line.get(..end)?) {
                    return at(number, problem);
                }
                let (label, rest) = line.get(end + END.len()..)?.split_once(DASHES).unwrap_or_default();
                match open.take() {
                    Some((opened, begun)) if begun != label => return broken_off(opened),
                    None => return at(number, "a PEM block ends that did not begin"),
                    Some(_) if rest.trim().is_empty() => {}
                    Some(_) => return at(number, "something stands after the end of a PEM block"),
                }
            }
        }
    }
    open.and_then(|(opened, _)| broken_off(opened))
}

/// What stands before a marker that has to be the first of its line.
fn before(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        None
    } else if text.trim().is_empty() {
        Some("a PEM block is indented")
    } else if matches!(text.trim(), "\"" | "'") {
        Some("a PEM block stands in quotes")
    } else {
        Some("something stands before the -----BEGIN or -----END of a PEM block")
    }
}

fn broken_off(line: usize) -> Option<Complaint> {
    Some(Complaint::new(
        format!("the PEM block that begins in line {line} breaks off before its end"),
        "write all of it, to its -----END line with the same label",
    ))
}
