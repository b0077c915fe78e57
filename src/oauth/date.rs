//! Dates in the forms that token answers have them in, where the end of a token is no number (RFC 3339, and two of Microsoft's),
//! and assertions always (RFC 3339).

/// Seconds since the Unix epoch of `2026-11-21T22:26:40Z`, `2026-11-21 22:26:40`, `11/21/2026 22:26:40` and `11/21/2026 10:26:40 PM
/// +00:00`; without an offset it is UTC. `None`: it is no such date.
pub fn unix(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, rest) = text.split_at_checked(text.find(['T', 't', ' '])?)?;
    let [year, month, day] = day(date)?;
    let (seconds, rest) = time(rest.get(1..)?)?;
    let (seconds, rest) = half(seconds, rest.trim_start())?;
    Some((days(year, month, day)? * 86_400 + seconds).saturating_sub(offset(rest.trim_start())?))
}

/// Year, month and day.
fn day(text: &str) -> Option<[i64; 3]> {
    if let Some([year, month, day]) = three(text, '-') {
        return Some([year, month, day]);
    }
    three(text, '/').map(|[month, day, year]| [year, month, day])
}

fn three(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.split(between).map(digits);
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

fn digits(text: &str) -> Option<i64> {
    let is_number = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Seconds since midnight, and what follows them; a fraction is cut off.
fn time(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ':').unwrap_or(text.len());
    let (clock, rest) = text.split_at_checked(end)?;
    let [hour, minute, second] = three(clock, ':')?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    // A leap second is the next one's first.
    (hour < 24 && minute < 60 && second <= 60).then_some((hour * 3600 + minute * 60 + second, rest))
}

/// The seconds with what `AM` or `PM` says of them; some write it behind hours that it does not need.
fn half(seconds: i64, rest: &str) -> Option<(i64, &str)> {
    let (twelve, hour) = (12 * 3600, seconds / 3600);
    let half = rest.get(..2).map(str::to_ascii_uppercase);
    Some(match half.as_deref() {
        Some("AM") if hour == 12 => (seconds - twelve, rest.get(2..)?),
        Some("PM") if (1..12).contains(&hour) => (seconds + twelve, rest.get(2..)?),
        Some("AM" | "PM") => (seconds, rest.get(2..)?),
        _ => (seconds, rest),
    })
}

/// How many seconds the time is ahead of UTC.
fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.as_bytes().first() {
        None => return Some(0),
        Some(b'Z' | b'z') => return (text.len() == 1).then_some(0),
        Some(b'+') => (1, text.get(1..)?),
        Some(b'-') => (-1, text.get(1..)?),
        Some(_) => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days since the Unix epoch.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    const LENGTH: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let index = usize::try_from(month - 1).ok()?;
    let (before, length) = (BEFORE.get(index)?, LENGTH.get(index)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (leap, past) = (i64::from(is_leap), year - 1);
    let in_range = (1970..=9999).contains(&year) && (1..=length + if month == 2 { leap } else { 0 }).contains(&day);
    let leaps = (past / 4 - past / 100 + past / 400) - (1969 / 4 - 1969 / 100 + 1969 / 400);
    in_range.then(|| (year - 1970) * 365 + leaps + before + if month > 2 { leap } else { 0 } + day - 1)
}

#[cfg(test)]
mod tests {
    use super::unix;

    #[test]
    fn dates_come_in_the_forms_that_servers_write() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29 12:00:00", 951_825_600),
            ("2026-11-21T22:26:40Z", 1_795_300_000),
            ("2026-11-21t22:26:40.123z", 1_795_300_000),
            ("2026-11-22T00:26:40+02:00", 1_795_300_000),
            ("2026-11-21T17:26:40-05:00", 1_795_300_000),
            ("2026-11-21 22:26:40", 1_795_300_000),
            ("11/21/2026 22:26:40", 1_795_300_000),
            ("11/21/2026 10:26:40 PM +00:00", 1_795_300_000),
            // App Service writes `PM` at midnight too.
            ("09/14/2017 00:00:00 PM +00:00", 1_505_347_200),
            ("09/14/2017 12:00:00 AM +00:00", 1_505_347_200),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(unix(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            " ",
            "soon",
            "1795300000",
            "2026-11-21",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T22:26Z",
            "2026-11-21T22:26:40 west",
            "2026-11-21T22:26:40Zulu",
            "1969-12-31T23:59:59Z",
            "99999-01-01T00:00:00Z",
            "2026-11-21T22:26:40+2500",
            "21/11/2026 22:26:40",
            "é/é/é é",
        ] {
            assert_eq!(unix(text), None, "{text}");
        }
    }
}
