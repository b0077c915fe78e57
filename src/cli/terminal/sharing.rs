//! Whether a sign-in would give its tokens to others: loopback is open to every user of the machine, and what tokend keeps it gives
//! to whoever it takes for its caller.
//!
//! What can be known from outside: a socket's file says who may open it; and a request that shows no token is refused where tokend
//! has callers. A caller that is told by its connection (`peer`, `listener`) looks as if there were none.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use super::api::ApiClient;
use super::args::LoginArgs;
use super::failure::CommandFailure;
use super::place::TokendPlace;
use crate::cli::print::err;

/// What is said where anybody could have the tokens.
const REMEDY: &str = "configure `callers` and name your token by --caller-token-file, or a socket of your own (listen: \
                      unix:/PATH alone, listen_mode: \"0600\") and name that by --url; or say --shared-machine-ok where nobody else \
                      uses this machine";

/// Refuses a sign-in whose tokens others could have, unless that was asked for.
pub(super) async fn check(api: &ApiClient, args: &LoginArgs) -> Result<(), CommandFailure> {
    if let Some(file) = args.reach.caller_token_file.as_deref().filter(|file| is_open(file)) {
        err(&format!("tokend: warning: other users of this machine may read {0}: chmod 600 {0}\n", file.display()));
    }
    if args.shared_machine_ok {
        return Ok(());
    }
    let what = match api.place() {
        TokendPlace::Unix(path) => match socket(path) {
            Ok(()) => return Ok(()),
            Err(why) => format!("{} {why}, and tokend there asks nobody who they are", api.place()),
        },
        TokendPlace::Tcp { .. } => {
            format!("every user of this machine reaches {}, and tokend there asks nobody who they are", api.place())
        }
    };
    if api.wants_callers().await? { Ok(()) } else { Err(CommandFailure::usage(&what, REMEDY)) }
}

/// Whether a socket is this user's alone.
fn socket(path: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot be looked at ({error})"))?;
    if !metadata.file_type().is_socket() {
        return Err("is no socket".to_owned());
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("is open to other users of this machine (mode {mode:04o}, not 0600)"));
    }
    if metadata.uid() == rustix::process::geteuid().as_raw() { Ok(()) } else { Err("belongs to another user".to_owned()) }
}

/// Whether others than its owner may read a file.
fn is_open(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.mode() & 0o044 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::socket;

    #[test]
    fn a_socket_is_this_users_alone_by_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokend.sock");
        assert!(socket(&path).unwrap_err().contains("cannot be looked at"));
        let _listener = UnixListener::bind(&path).unwrap();
        for (mode, is_good) in [(0o600, true), (0o700, true), (0o660, false), (0o606, false), (0o666, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(socket(&path).is_ok(), is_good, "{mode:o}");
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(socket(&file).unwrap_err(), "is no socket");
    }
}
