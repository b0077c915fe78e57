//! Sentences about everything that nobody has taken.

use super::given::SidecarConfig;
use super::reasons::reason;

/// Says of everything that nothing was made of, at a path and below it (everywhere for an empty one), why: one sentence for what
/// has one reason.
pub(super) fn sentences(config: &SidecarConfig, path: &str) -> Vec<String> {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for value in config.left(path) {
        let (reason, place) = (reason(&value.key(), value.variable().is_some()), value.used().place());
        match groups.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, places)) => places.push(place),
            None => groups.push((reason, vec![place])),
        }
    }
    let sentence = |(reason, places): (&str, Vec<String>)| match places.as_slice() {
        [one] => format!("{one} is not converted: {reason}."),
        many => format!("{} are not converted: {reason}.", many.join(", ")),
    };
    groups.into_iter().map(sentence).collect()
}
