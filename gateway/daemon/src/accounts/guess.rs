//! Whether somebody who knows the usual passwords and the names here could guess a password.
//!
//! The judge is zxcvbn: common passwords and words with their usual changes (case, digits behind, 0 for o), rows of
//! keys, repeats, dates. It never sees more than the first hundred characters and keeps nothing.

use super::AccountError;
use zxcvbn::zxcvbn;

/// The shortest and the longest password, in characters.
const LENGTH: std::ops::RangeInclusive<usize> = 12..=1024;
/// From so many characters on, a name inside a password makes it one that people think of first.
const NAME: usize = 4;
/// Passwords that are found within so many guesses, as a power of ten, are refused.
const GUESSES: f64 = 7.0;
/// The same for what is left without the digits and signs at both ends: a year behind a common word helps nobody.
const GUESSES_OF_CORE: f64 = 4.0;
/// What people in a control room think of first, beside the words that zxcvbn knows.
const WORDS: [&str; 7] = [
    "zhiban", "duty", "admin", "mima", "woaini", "guanli", "wuye",
];

/// Whether somebody may have this password.
///
/// # Errors
/// It is too short or too long, holds the name of the user or the site, or is easy to guess.
pub(super) fn judge(password: &str, user: &str, site: &[String]) -> Result<(), AccountError> {
    if !LENGTH.contains(&password.chars().count()) {
        return Err(AccountError::Password);
    }
    let plain = plain(password);
    let names = site.iter().map(String::as_str);
    for name in names.chain([user, "zhiban", "值班"]) {
        let name = self::plain(name);
        // A Chinese sign says as much as a few letters.
        let long = name.chars().count() >= NAME || !name.is_ascii() && name.chars().count() > 1;
        if long && plain.contains(&name) {
            return Err(AccountError::Guessable);
        }
    }
    let words = site.iter().flat_map(|name| name.split_whitespace());
    let words: Vec<&str> = words.chain([user]).chain(WORDS).collect();
    let head: String = password.chars().take(100).collect();
    let core = head.trim_matches(|c: char| !c.is_alphabetic());
    let within = |text: &str, most: f64| zxcvbn(text, &words).guesses_log10() < most;
    if within(&head, GUESSES) || (!core.is_empty() && within(core, GUESSES_OF_CORE)) {
        return Err(AccountError::Guessable);
    }
    Ok(())
}

/// Letters and digits alone, in lower case: what is left when somebody adds signs.
fn plain(text: &str) -> String {
    let kept = text.chars().filter(|c| c.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(password: &str) -> Result<(), AccountError> {
        let site = ["hq-1", "Harbour Tower", "海港大厦"].map(str::to_owned);
        judge(password, "wangwei", &site)
    }

    #[test]
    fn what_everybody_tries_first_is_refused() {
        for password in [
            "password1234",
            "Password1234",
            "PASSWORD12345",
            "P@ssw0rd1234",
            "password2024!",
            "passwordpassword",
            "qwertyuiop12",
            "1qaz2wsx3edc",
            "qwerty123456",
            "123456789012",
            "111111111111",
            "abcabcabcabc",
            "aaaaaaaaaaaaaaaa",
            "abcdefghijkl",
            "iloveyou1234",
            "administrator",
            "admin1234567",
            "welcome12345",
            "woaini123456",
            "letmein123456",
            "wangwei202412",
            "Wang-Wei secret phrase",
            "harbourtower77!",
            "海港大厦的值班密码很长吧",
            "Zhiban2026zhiban",
        ] {
            let refused = judged(password);
            assert!(
                matches!(refused, Err(AccountError::Guessable)),
                "{password}"
            );
        }
    }

    #[test]
    fn unrelated_words_and_random_signs_are_taken() {
        for password in [
            "correct horse battery staple",
            "a quiet night shift",
            "正确的马 battery staple",
            "雨天的橘子爱唱歌又爱跳舞",
            "k7#pLq92xVd!",
            "lamp river seventeen goat",
            "0f3c9a1be27d4c55a9d1",
        ] {
            assert!(judged(password).is_ok(), "{password}");
        }
        assert!(judged(&"lamp river seventeen goat ".repeat(39)).is_ok());
        assert!(matches!(judged("short"), Err(AccountError::Password)));
    }
}
