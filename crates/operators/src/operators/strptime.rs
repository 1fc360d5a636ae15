//! strptime layouts as Go layouts, directive by directive, as the collector translates them.

/// Directives and what they are in Go.
const DIRECTIVES: [(char, &str); 41] = [
    ('Y', "2006"),
    ('y', "06"),
    ('m', "01"),
    ('o', "_1"),
    ('q', "1"),
    ('b', "Jan"),
    ('h', "Jan"),
    ('B', "January"),
    ('d', "02"),
    ('e', "_2"),
    ('g', "2"),
    ('a', "Mon"),
    ('A', "Monday"),
    ('H', "15"),
    ('I', "03"),
    ('l', "3"),
    ('p', "PM"),
    ('P', "pm"),
    ('M', "04"),
    ('S', "05"),
    ('L', "999"),
    ('f', "999999"),
    ('s', "99999999"),
    ('Z', "MST"),
    ('z', "Z0700"),
    ('w', "-070000"),
    ('i', "-07"),
    ('j', "-07:00"),
    ('k', "-07:00:00"),
    ('D', "01/02/2006"),
    ('x', "01/02/2006"),
    ('F', "2006-01-02"),
    ('T', "15:04:05"),
    ('X', "15:04:05"),
    ('r', "03:04:05 PM"),
    ('R', "15:04"),
    ('n', "\n"),
    ('t', "\t"),
    ('%', "%"),
    ('c', "Mon Jan 02 15:04:05 2006"),
    ('v', "_2-Jan-2006"),
];

/// The Go layout of a strptime layout.
///
/// # Errors
/// A directive is not known.
pub fn to_go(layout: &str) -> Result<String, String> {
    let (mut out, mut chars) = (String::new(), layout.chars());
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let directive = chars.next().ok_or("a `%` stands at the end")?;
        match DIRECTIVES.iter().find(|(known, _)| *known == directive) {
            Some((_, go)) => out.push_str(go),
            None => return Err(format!("`%{directive}` is no directive that is known")),
        }
    }
    Ok(out)
}
