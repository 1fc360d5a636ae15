//! "Did you mean …?": the known word that is nearest to an unknown one.
//!
//! Invariant: pure; a suggestion is only made when it is likelier right than silly (a prefix, or an edit distance of at
//! most a third of the word). It does NOT know what the words are for.

/// Words longer than this are not compared: nobody mistypes them, and the comparison is quadratic.
const LONGEST: usize = 64;

/// The one of `known` that `word` was most likely meant to be, if any is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(word);
    if folded.is_empty() || folded.len() > LONGEST {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        let target = fold(candidate);
        if target.len() > LONGEST {
            continue;
        }
        let cost = if target == folded {
            0
        } else if folded.len() >= 3 && target.starts_with(&folded) {
            1
        } else {
            let distance = distance(&folded, &target);
            let allowed = (folded.len().max(target.len()) / 3).max(1);
            if distance > allowed || distance >= target.len() {
                continue;
            }
            distance
        };
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Case and word separators are what people get wrong without noticing.
fn fold(word: &str) -> Vec<char> {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Optimal string alignment distance: insertions, deletions, substitutions, and swaps of neighbours cost 1 each.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; width];
        for j in 1..width {
            let substituted = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = substituted.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A typing slip finds its word; a word that is far from all finds none.
    #[test]
    fn the_nearest_word_is_offered_only_when_it_is_near() {
        let keys = ["endpoint", "tls", "compression", "timeout", "headers", "sending_queue", "retry_on_failure"];
        for (word, expected) in [
            ("endpont", Some("endpoint")),
            ("end_point", Some("endpoint")),
            ("Endpoint", Some("endpoint")),
            ("tsl", Some("tls")),
            ("compress", Some("compression")),
            ("header", Some("headers")),
            ("queue", None),
            ("retry", Some("retry_on_failure")),
            ("insecure", None),
            ("tls_insecure", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }
}
