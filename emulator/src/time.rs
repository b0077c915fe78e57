//! Dates as the wire spells them. The clock comes from outside, so this only counts and formats.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, negative before it.
pub(crate) fn unix(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

/// Year, month and day of a unix time (days to civil date, proleptic Gregorian).
pub(crate) fn civil(unix: i64) -> (i64, u8, u8) {
    let days = unix.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u8::try_from(month).unwrap_or(1), u8::try_from(day).unwrap_or(1))
}

/// `2026-11-21 05:42:28Z`, the form of Entra's error bodies.
pub(crate) fn stamp(unix: i64) -> String {
    let (year, month, day) = civil(unix);
    let seconds = unix.rem_euclid(86_400);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// `2026-11-21T05:42:28Z`, the form of XML.
pub(crate) fn iso(unix: i64) -> String {
    stamp(unix).replacen(' ', "T", 1)
}

/// Unix seconds of a date as XML has it, in UTC; a fraction of a second is cut off.
pub(crate) fn from_iso(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let good = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61
        && fraction.bytes().all(|byte| byte.is_ascii_digit());
    // The way of `civil`, back.
    let (shifted_year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let days = era * 146_097 + 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    good.then_some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten();
    text.split(between).map(digits).collect::<Option<Vec<i64>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{civil, from_iso, iso, stamp};

    #[test]
    fn dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(951_782_400), (2000, 2, 29));
        assert_eq!(stamp(1_795_239_748), "2026-11-21 05:42:28Z");
        assert_eq!(stamp(-1), "1969-12-31 23:59:59Z");
    }

    #[test]
    fn dates_of_xml_there_and_back() {
        for unix in [0, 951_782_400, 951_868_800, 1_795_239_748, 4_102_444_799] {
            assert_eq!(from_iso(&iso(unix)), Some(unix));
        }
        assert_eq!(from_iso("2026-11-21T05:42:28.999Z"), Some(1_795_239_748));
        for bad in ["", "2026-11-21", "2026-11-21T05:42:28", "2026-13-21T05:42:28Z", "2026-11-21T05:42:28.xZ", "-1-1-1T0:0:0Z"] {
            assert_eq!(from_iso(bad), None, "{bad}");
        }
    }
}
