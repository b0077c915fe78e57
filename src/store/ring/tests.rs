//! What is sealed opens under its own name only, and a rotation in three edits loses nothing wherever the file arrives late.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proptest::prelude::any;
use tempfile::TempDir;

use super::{KeyRing, Opened, Ring, Unreadable};
use crate::clock::Clock;
use crate::reload::{Place, Source};
use crate::secret::Secret;
use crate::store::settings::{Encryption, Version, Versions};
use crate::telemetry::{self, Metrics};

/// Keys in base64: 32 bytes of 0, of 1 and so on.
const NAME: &str = "name:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const OTHER_NAME: &str = "name:BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=";
const A: &str = "a:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const B: &str = "b:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI";
const C: &str = "c:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=";
const KEY: &str = "tokend:{x}:t:y";

/// Versions that this part never looks into.
static KNOWN: [Version; 2] = [Version { number: 9, names: b"" }, Version { number: 8, names: b"" }];
const VERSIONS: Versions = Versions::new(&KNOWN);

/// A ring that is fixed.
fn ring(lines: &[&str]) -> Ring {
    Ring::load(&place(Place::Value(Secret::new(lines.join("\n")))), &Clock::manual(0)).unwrap()
}

fn plaintext() -> Ring {
    Ring::load(&Encryption::Plaintext, &Clock::manual(0)).unwrap()
}

fn place(place: Place) -> Encryption {
    Encryption::KeyRing(Source { key: "cache.redis.encryption.key_ring".to_owned(), file: None, place })
}

/// A replica with a file of its own, which an edit reaches in its own time.
struct Replica {
    ring: Ring,
    clock: Clock,
    path: PathBuf,
    _dir: TempDir,
}

// === impl Replica ===

impl Replica {
    fn with(lines: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (path, clock) = (dir.path().join("ring"), Clock::manual(0));
        write(&path, lines);
        Self { ring: Ring::load(&place(Place::File(path.clone())), &clock).unwrap(), clock, path, _dir: dir }
    }

    /// The edit arrives; nobody has looked at it yet.
    fn receive(&self, lines: &[&str]) {
        write(&self.path, lines);
        self.clock.advance(Duration::from_secs(2));
    }

    /// What the watcher does each ten seconds.
    async fn look(&self) -> bool {
        self.ring.0.keys.as_ref().unwrap().reread().await
    }
}

fn write(path: &Path, lines: &[&str]) {
    std::fs::write(path, lines.join("\n")).unwrap();
}

async fn reads(writer: &Ring, reader: &Ring) -> Result<Opened, Unreadable> {
    let value = writer.seal(KEY, 7, 8, b"payload").unwrap();
    reader.meet([&*value]).await;
    reader.open(KEY, &value, VERSIONS)
}

proptest::proptest! {
    #[test]
    fn what_is_sealed_opens(generation in any::<u64>(), version in 8_u8..=9, payload in any::<Vec<u8>>(), key in ".{0,80}") {
        for ring in [ring(&[NAME, A]), plaintext()] {
            let value = ring.seal(&key, generation, version, &payload).unwrap();
            proptest::prop_assert_eq!(Ring::generation(&value), Some(generation));
            let opened = ring.open(&key, &value, VERSIONS).unwrap();
            let back = (opened.generation, opened.version, &*opened.payload);
        proptest::prop_assert_eq!(back, (generation, version, payload.as_slice()));
        }
    }

    #[test]
    fn any_change_is_garbage_or_worse(
        at in any::<proptest::sample::Index>(),
        bit in 0_u8..8,
        cut in any::<proptest::sample::Index>(),
        key in ".{0,20}"
    ) {
        static RING: LazyLock<Ring> = LazyLock::new(|| ring(&[NAME, A, B]));
        let value = RING.seal(KEY, 0x0123_4567_89ab_cdef, 8, &[7; 100]).unwrap();
        let mut changed = value.clone();
        *changed.get_mut(at.index(value.len())).unwrap() ^= 1 << bit;
        proptest::prop_assert!(RING.open(KEY, &changed, VERSIONS).is_err());
        proptest::prop_assert!(RING.open(KEY, value.get(..cut.index(value.len())).unwrap(), VERSIONS).is_err());
        proptest::prop_assert!(RING.open(&key, &value, VERSIONS) == Err(Unreadable::Garbage));
    }

    #[test]
    fn no_value_panics(value in any::<Vec<u8>>(), fixed in "[0-9a-f]{16}") {
        let value = [fixed.as_bytes(), &value].concat();
        for ring in [ring(&[NAME, A]), plaintext()] {
            let _any = ring.open(KEY, &value, VERSIONS);
        }
    }

    #[test]
    fn other_members_have_another_name(left in any::<Vec<Vec<u8>>>(), right in any::<Vec<Vec<u8>>>()) {
        let ring = ring(&[NAME, A]);
        let name = |members: &[Vec<u8>]| ring.name(&members.iter().map(Vec::as_slice).collect::<Vec<_>>());
        proptest::prop_assert_eq!(left == right, name(&left) == name(&right));
    }
}

#[tokio::test]
async fn every_reason_is_told_apart() {
    let (ours, theirs) = (ring(&[NAME, A]), ring(&[NAME, B]));
    assert_eq!(reads(&theirs, &ours).await, Err(Unreadable::UnknownKey));
    assert_eq!(reads(&plaintext(), &ours).await, Err(Unreadable::Garbage), "what is not sealed must not be believed");
    assert_eq!(reads(&ours, &plaintext()).await, Err(Unreadable::UnknownKey));
    for (version, expected) in [(10, Unreadable::Newer), (7, Unreadable::Garbage)] {
        let other = ours.seal(KEY, 1, version, b"x").unwrap();
        assert_eq!(ours.open(KEY, &other, VERSIONS), Err(expected));
    }
    let newer = ours.seal(KEY, 1, 10, b"x").unwrap();
    assert_eq!(plaintext().open(KEY, &newer, VERSIONS), Err(Unreadable::Newer));
    assert_eq!(ours.seal(KEY, 1, 0, b"x"), None);
    // Its id over another key.
    let impostor = A.replace("a:AQ", "a:AA");
    assert_eq!(reads(&ring(&[NAME, &impostor]), &ours).await, Err(Unreadable::Garbage));
    for bad in
        [&b""[..], b"0123456789abcdef", b"0123456789abcdeF\x08\x00x", b"+123456789abcdef\x08\x00x", b"0123456789abcdef\x00\x00x"]
    {
        assert_eq!(plaintext().open(KEY, bad, VERSIONS), Err(Unreadable::Garbage));
        // What a script in Redis sees as a generation is one.
        let seen = bad.starts_with(b"0123456789abcdef").then_some(0x0123_4567_89ab_cdef);
        assert_eq!(Ring::generation(bad), seen);
    }
}

#[test]
fn a_nonce_is_never_used_twice() {
    let ring = ring(&[NAME, A]);
    let values: std::collections::BTreeSet<_> = (0..1000).map(|_| ring.seal(KEY, 1, 1, b"same").unwrap()).collect();
    assert_eq!(values.len(), 1000);
}

#[test]
fn names_depend_on_the_name_key_alone() {
    let member: &[&[u8]] = &[b"a", b"bc"];
    assert_eq!(ring(&[NAME, A]).name(member), ring(&[B, NAME]).name(member));
    assert_ne!(ring(&[NAME, A]).name(member), ring(&[OTHER_NAME, A]).name(member));
    assert_ne!(ring(&[NAME, A]).name(member), plaintext().name(member));
    assert_eq!(plaintext().name(member), plaintext().name(member));
}

#[tokio::test]
async fn a_rotation_in_three_edits_loses_nothing_at_any_stage() {
    let edits: [&[&str]; 4] = [&[NAME, A], &[NAME, A, B], &[NAME, B, A], &[NAME, B]];
    for pair in edits.windows(2) {
        let [before, after] = pair else { continue };
        // Each of them: still with the old file, with the new one unread, with the new one in force.
        let replicas: Vec<Replica> = (0..3).map(|_| Replica::with(before)).collect();
        replicas.iter().skip(1).for_each(|replica| replica.receive(after));
        assert!(replicas.last().unwrap().look().await);
        for writer in &replicas {
            for reader in &replicas {
                let opened = reads(&writer.ring, &reader.ring).await.unwrap();
                assert_eq!((opened.generation, &*opened.payload), (7, b"payload".as_slice()));
            }
        }
    }
}

#[tokio::test]
async fn an_unknown_key_reads_the_file_at_once_but_not_all_the_time() {
    let (replica, theirs) = (Replica::with(&[NAME, A]), ring(&[NAME, B, C]));
    assert_eq!(reads(&theirs, &replica.ring).await, Err(Unreadable::UnknownKey));
    write(&replica.path, &[NAME, A, B]);
    assert_eq!(reads(&theirs, &replica.ring).await, Err(Unreadable::UnknownKey), "within one second");
    replica.clock.advance(Duration::from_secs(1));
    assert!(reads(&theirs, &replica.ring).await.is_ok());
    assert_eq!(replica.ring.kids(), ["a", "b"]);
}

#[tokio::test]
async fn the_name_key_stays() {
    let replica = Replica::with(&[NAME, A]);
    let name = replica.ring.name(&[b"x"]);
    replica.receive(&[OTHER_NAME, A, B]);
    assert!(!replica.look().await);
    let (problem, failures) = replica.ring.reload_state();
    assert!(problem.is_some_and(|problem| problem.reason.contains("`name`")) && failures == 1);
    assert_eq!((replica.ring.kids(), replica.ring.name(&[b"x"])), (vec!["a".to_owned()], name));
    replica.receive(&[B, NAME]);
    assert!(replica.look().await);
    assert_eq!((replica.ring.kids(), replica.ring.name(&[b"x"])), (vec!["b".to_owned()], name));
    assert!(replica.ring.reload_state().0.is_none());
}

#[test]
fn a_ring_is_text_with_comments_and_a_bad_line_is_named_but_not_shown() {
    let text = format!("\u{feff}# ours\r\n\r\n {A}\r\n\tname : {}\n{B}==\n", NAME.trim_start_matches("name:"));
    assert_eq!(
        format!("{:?}", KeyRing::parse(text.as_bytes()).err().map(|problem| problem.reason)),
        "Some(\"line 5 of the key ring has no key of 32 bytes in base64\")"
    );
    let good = text.replace("==\n", "=\n");
    assert_eq!(format!("{:?}", KeyRing::parse(good.as_bytes()).unwrap()), "[\"a\", \"b\"]");
    let canary = "canary+AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let bad = [
        (format!("{NAME}\n{canary}"), "line 2 of"),
        (format!("{NAME}\n\nx y:{}", &A[2..]), "line 3 of"),
        (format!("{NAME}\n{canary}:{}", &A[2..]), "line 2 of"),
        (format!("{NAME}\n{}:{}", "k".repeat(33), &A[2..]), "line 2 of"),
        (format!("{NAME}\n:{}", &A[2..]), "line 2 of"),
        (format!("{NAME}\nk:canary"), "line 2 of"),
        (format!("{NAME}\nk:AQEB"), "line 2 of"),
        (format!("{NAME}\n{A}\n{A}"), "line 3 of"),
        (format!("{NAME}\n{NAME}\n{A}"), "line 2 of"),
        (A.to_owned(), "no line `name"),
        (NAME.to_owned(), "no key beside"),
        (String::new(), "no line `name"),
    ];
    for (text, reason) in bad {
        let problem = KeyRing::parse(text.as_bytes()).err().unwrap();
        assert!(problem.reason.contains(reason), "{text}: {problem:?}");
        assert!(!format!("{problem:?}").contains("canary") && !format!("{problem:?}").contains("AQEB"), "{problem:?}");
    }
    assert!(KeyRing::parse(&[0xff]).is_err());
}

#[tokio::test]
async fn reads_and_keys_are_counted() {
    let metrics = Metrics::default();
    let replica = Replica::with(&[NAME, A, B]);
    replica.ring.observe(&metrics);
    let text = || String::from_utf8(metrics.render()).unwrap();
    let shows = |line: &str| assert!(text().contains(&format!("tokend_{line}\n")), "{line} in {}", text());
    shows("key_ring_key{kid=\"b\"} 1");
    shows("key_ring_reads_total{kid=\"b\"} 0");
    assert!(reads(&ring(&[NAME, B]), &replica.ring).await.is_ok());
    shows("key_ring_reads_total{kid=\"b\"} 1");
    replica.receive(&[NAME, B]);
    assert!(replica.look().await && reads(&ring(&[NAME, B]), &replica.ring).await.is_ok());
    shows("key_ring_reads_total{kid=\"b\"} 2");
    shows("key_ring_key{kid=\"a\"} 0");
    shows("key_ring_key{kid=\"b\"} 1");
    assert!(reads(&ring(&[NAME, A]), &replica.ring).await.is_err() && reads(&plaintext(), &replica.ring).await.is_err());
    shows("cache_undecipherable_total{reason=\"unknown_key\"} 1");
    shows("cache_undecipherable_total{reason=\"garbage\"} 1");
    shows("cache_undecipherable_total{reason=\"newer\"} 0");
}

#[tokio::test]
async fn debug_shows_ids_only() {
    let ring = ring(&[NAME, A]);
    let opened = reads(&ring, &ring).await.unwrap();
    assert_eq!(
        format!("{ring:?} {opened:?}"),
        "Ring { encrypted: true, kids: [\"a\"], .. } Opened { generation: 7, version: 8, .. }"
    );
}

#[tokio::test]
async fn clones_share_one_ring() {
    let replica = Replica::with(&[NAME, A]);
    let clone = replica.ring.clone();
    replica.receive(&[NAME, B, A]);
    assert!(replica.look().await);
    assert_eq!(clone.kids(), ["b", "a"]);
    assert!(Arc::ptr_eq(&clone.0, &replica.ring.0));
}

#[tokio::test]
async fn a_file_that_hangs_is_waited_for_together_and_for_a_second() {
    let (replica, theirs) = (Replica::with(&[NAME, A]), ring(&[NAME, B]));
    std::fs::remove_file(&replica.path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&replica.path).status().unwrap().success());
    for _ in 0..3 {
        let reading = (0..50).map(|_| reads(&theirs, &replica.ring));
        assert!(futures_util::future::join_all(reading).await.iter().all(|read| *read == Err(Unreadable::UnknownKey)));
        replica.clock.advance(Duration::from_secs(1));
    }
    // What is known opens as ever.
    assert!(reads(&ring(&[NAME, A]), &replica.ring).await.is_ok());
    assert_eq!(replica.ring.reload_state().1, 1);
}

/// The lines that are logged meanwhile.
fn logged(work: impl FnOnce()) -> Vec<serde_json::Value> {
    #[derive(Clone, Default)]
    struct Kept(Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let (lines, settings) = (Kept::default(), telemetry::Settings::default());
    let writer = lines.clone();
    let (subscriber, _) = telemetry::subscriber(&settings, move || writer.clone()).unwrap();
    // While one subscriber alone is alive, whatever another test's thread reaches first would be switched off for this one as well.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    tracing::subscriber::with_default(subscriber, work);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_cannot_be_opened_is_a_log_line_once_for_each_reason_and_key() {
    let (ours, theirs, others) = (ring(&[NAME, A]), ring(&[NAME, B]), ring(&[NAME, C]));
    let sealed = |ring: &Ring, version| ring.seal(KEY, 1, version, b"canary").unwrap();
    let lines = logged(|| {
        for _ in 0..100 {
            for value in [sealed(&theirs, 9), sealed(&others, 9), sealed(&ours, 10), b"canary".to_vec(), Vec::new()] {
                assert!(ours.open(KEY, &value, VERSIONS).is_err());
            }
        }
        // What somebody else writes as a key id is not repeated.
        for number in 0..100_u8 {
            let mut strange = sealed(&theirs, 9);
            // Behind the generation, the version and its length.
            strange[18] = number;
            assert!(ours.open(KEY, &strange, VERSIONS).is_err());
        }
    });
    let said: Vec<_> = lines.iter().map(|line| (line["reason"].as_str().unwrap(), line["kid"].as_str())).collect();
    for expected in [("unknown_key", Some("b")), ("unknown_key", Some("c")), ("newer", Some("a")), ("garbage", None)] {
        assert_eq!(said.iter().filter(|said| **said == expected).count(), 1, "{expected:?}: {said:?}");
    }
    assert!(lines.len() <= 16, "{}", lines.len());
    for line in &lines {
        assert!(line["message"].as_str().unwrap().contains("cannot be opened") && line["remedy"].is_string(), "{line}");
        assert!(!line.to_string().contains("canary"), "{line}");
    }
}
