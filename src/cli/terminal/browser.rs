//! The system's browser: the commands of `BROWSER`, else the platform's opener. No shell is asked: the address that is opened comes
//! from an authority's metadata.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::tasks;

/// What opens an address where nothing else is said.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// A browser that ran for longer than this was one, however it ended.
const WAS_OPEN: Duration = Duration::from_secs(5);

/// Opens an address. What is returned ends with false if nothing could open it; it stays silent while a browser may be open.
pub(super) fn open(address: &str, environment: &BTreeMap<String, String>) -> oneshot::Receiver<bool> {
    let (sender, opened) = oneshot::channel();
    let commands = commands(environment.get("BROWSER").map_or("", String::as_str), address);
    // A browser in the foreground ends when its user ends it: that thread is nobody's to wait for.
    let started = tasks::thread("browser", move || {
        let _gone = sender.send(commands.into_iter().any(|command| run(&command)));
    });
    if started.is_err() {
        // The sender went with the thread, which says that nothing was opened.
        return oneshot::channel().1;
    }
    opened
}

/// The commands to try, in this order: entries of `BROWSER` are separated by colons, the words of one by spaces, and `%s` is where
/// the address goes, else it comes last.
fn commands(browser: &str, address: &str) -> Vec<Vec<String>> {
    let entries = browser.split(':').map(str::trim).filter(|entry| !entry.is_empty());
    let commands: Vec<Vec<String>> = entries.map(|entry| command(entry, address)).collect();
    if commands.is_empty() { vec![vec![OPENER.to_owned(), address.to_owned()]] } else { commands }
}

fn command(entry: &str, address: &str) -> Vec<String> {
    // The path of a program may have spaces in it.
    if Path::new(entry).is_file() {
        return vec![entry.to_owned(), address.to_owned()];
    }
    let mut words: Vec<String> = entry.split_whitespace().map(|word| word.replace("%s", address)).collect();
    if !entry.contains("%s") {
        words.push(address.to_owned());
    }
    words
}

/// Whether it opened the address.
fn run(words: &[String]) -> bool {
    let Some((program, arguments)) = words.split_first() else { return false };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Out of the terminal's group: Ctrl-C ends the sign-in, and not the browser with all that is open in it.
    command.process_group(0);
    let clock = Clock::system();
    match command.spawn().and_then(|mut child| child.wait()) {
        Ok(status) => status.success() || clock.precise() > WAS_OPEN,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{OPENER, commands};

    #[test]
    fn the_address_is_an_argument_of_its_own() {
        let address = "https://id.example/auth?a=b&c='$(id)'";
        assert_eq!(commands("", address), [[OPENER, address]]);
        assert_eq!(commands(" : ", address), [[OPENER, address]]);
        let two = commands("firefox --new-window:open-it --url=%s now", address);
        let second = format!("--url={address}");
        assert_eq!(two, [vec!["firefox", "--new-window", address], vec!["open-it", &second, "now"]]);
    }
}
