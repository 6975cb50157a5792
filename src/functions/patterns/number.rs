//! Patterns of numbers.

use super::{Result, ordinal};
use crate::functions::error::FunctionError;
use crate::functions::rows::rescaled;

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Comma,
    Point,
    Zero,
    Nine,
    Blank,
    Scientific,
    Fill,
    Group,
    Currency,
    Minus,
    Plus,
    Brackets,
    Roman { upper: bool },
    Sign,
    AnchoredSign,
    Ordinal { upper: bool },
    Shift,
    Text(char),
}

const NODES: &[(&str, Node)] = &[
    (",", Node::Comma),
    (".", Node::Point),
    ("0", Node::Zero),
    ("9", Node::Nine),
    ("B", Node::Blank),
    ("D", Node::Point),
    ("EEEE", Node::Scientific),
    ("FM", Node::Fill),
    ("G", Node::Group),
    ("L", Node::Currency),
    ("MI", Node::Minus),
    ("PL", Node::Plus),
    ("PR", Node::Brackets),
    ("RN", Node::Roman { upper: true }),
    ("SG", Node::Sign),
    ("S", Node::AnchoredSign),
    ("TH", Node::Ordinal { upper: true }),
    ("V", Node::Shift),
];

/// Where an anchored sign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anchor {
    None,
    Before,
    After,
}

/// A pattern with what it says of the number as a whole.
#[derive(Debug, Clone)]
struct Pattern {
    nodes: Vec<Node>,
    /// Digits before and behind the point.
    pre: usize,
    post: usize,
    /// Places to shift by: digits behind `V`.
    shift: usize,
    anchor: Anchor,
    /// Digits before the anchored sign.
    before_sign: usize,
    has_sign: bool,
    zero: bool,
    zero_start: usize,
    zero_end: usize,
    has_point: bool,
    fill: bool,
    blank: bool,
    minus: bool,
    plus: bool,
    brackets: bool,
    roman: bool,
    scientific: bool,
    shifts: bool,
}

fn syntax(message: impl Into<String>) -> FunctionError {
    FunctionError::new("42601", message)
}

impl Pattern {
    fn parse(text: &str) -> Result<Self> {
        let mut pattern = Self {
            nodes: Vec::new(),
            pre: 0,
            post: 0,
            shift: 0,
            anchor: Anchor::None,
            before_sign: 0,
            has_sign: false,
            zero: false,
            zero_start: 0,
            zero_end: 0,
            has_point: false,
            fill: false,
            blank: false,
            minus: false,
            plus: false,
            brackets: false,
            roman: false,
            scientific: false,
            shifts: false,
        };
        let mut rest = text;
        while !rest.is_empty() {
            if let Some((node, length)) = node_at(rest) {
                pattern.add(node)?;
                pattern.nodes.push(node);
                rest = &rest[length..];
                continue;
            }
            rest = match rest.strip_prefix('"') {
                Some(quoted) => {
                    let mut characters = quoted.chars();
                    while let Some(character) = characters.next() {
                        match character {
                            '"' => break,
                            '\\' => {
                                let next = characters.next().or(Some('\\'));
                                pattern.nodes.extend(next.map(Node::Text));
                            }
                            other => pattern.nodes.push(Node::Text(other)),
                        }
                    }
                    characters.as_str()
                }
                None => {
                    let rest = if rest.starts_with("\\\"") { &rest[1..] } else { rest };
                    let mut characters = rest.chars();
                    pattern.nodes.extend(characters.next().map(Node::Text));
                    characters.as_str()
                }
            };
        }
        Ok(pattern)
    }

    fn add(&mut self, node: Node) -> Result<()> {
        if self.scientific && node != Node::Scientific {
            return Err(syntax("\"EEEE\" must be the last pattern used"));
        }
        let refuse = |refused: bool, message: &str| match refused {
            true => Err(syntax(message)),
            false => Ok(()),
        };
        match node {
            Node::Nine => {
                refuse(self.brackets, "\"9\" must be ahead of \"PR\"")?;
                match (self.shifts, self.has_point) {
                    (true, _) => self.shift += 1,
                    (_, true) => self.post += 1,
                    _ => self.pre += 1,
                }
            }
            Node::Zero => {
                refuse(self.brackets, "\"0\" must be ahead of \"PR\"")?;
                if !self.zero && !self.has_point {
                    self.zero = true;
                    self.zero_start = self.pre + 1;
                }
                if self.has_point {
                    self.post += 1
                } else {
                    self.pre += 1
                }
                self.zero_end = self.pre + self.post;
            }
            Node::Blank => {
                self.blank |= self.pre == 0 && self.post == 0 && !self.zero;
            }
            Node::Point => {
                refuse(self.has_point, "multiple decimal points")?;
                refuse(self.shifts, "cannot use \"V\" and decimal point together")?;
                self.has_point = true;
            }
            Node::Fill => self.fill = true,
            Node::AnchoredSign => {
                refuse(self.has_sign, "cannot use \"S\" twice")?;
                let others = self.plus || self.minus || self.brackets;
                refuse(others, "cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together")?;
                self.has_sign = true;
                if self.has_point {
                    self.anchor = Anchor::After;
                } else {
                    self.anchor = Anchor::Before;
                    self.before_sign = self.pre;
                }
            }
            Node::Minus => {
                refuse(self.has_sign, "cannot use \"S\" and \"MI\" together")?;
                self.minus = true;
            }
            Node::Plus => {
                refuse(self.has_sign, "cannot use \"S\" and \"PL\" together")?;
                self.plus = true;
            }
            Node::Sign => {
                refuse(self.has_sign, "cannot use \"S\" and \"SG\" together")?;
                (self.minus, self.plus) = (true, true);
            }
            Node::Brackets => {
                let others = self.has_sign || self.plus || self.minus;
                refuse(others, "cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together")?;
                self.brackets = true;
            }
            Node::Roman { .. } => self.roman = true,
            Node::Shift => {
                refuse(self.has_point, "cannot use \"V\" and decimal point together")?;
                self.shifts = true;
            }
            Node::Scientific => {
                refuse(self.scientific, "cannot use \"EEEE\" twice")?;
                let others = self.blank
                    || self.fill
                    || self.has_sign
                    || self.brackets
                    || self.minus
                    || self.plus
                    || self.roman
                    || self.shifts;
                refuse(others, "\"EEEE\" is incompatible with other formats")?;
                self.scientific = true;
            }
            Node::Comma | Node::Group | Node::Currency | Node::Ordinal { .. } | Node::Text(_) => {}
        }
        Ok(())
    }
}

fn node_at(rest: &str) -> Option<(Node, usize)> {
    for (name, node) in NODES {
        let Some(here) = rest.get(..name.len()) else { continue };
        if here == *name {
            return Some((*node, name.len()));
        }
        if here.bytes().eq(name.bytes().map(|byte| byte.to_ascii_lowercase())) {
            return Some((
                match node {
                    Node::Roman { .. } => Node::Roman { upper: false },
                    Node::Ordinal { .. } => Node::Ordinal { upper: false },
                    other => *other,
                },
                name.len(),
            ));
        }
    }
    None
}

/// A number's digits, with a point behind which are as many as the pattern has.
struct Digits {
    negative: bool,
    text: String,
}

pub(super) fn of_integer(value: i64, pattern: &str) -> Result<String> {
    of_decimal(value.into(), 0, pattern)
}

pub(super) fn of_decimal(value: i128, scale: i8, pattern: &str) -> Result<String> {
    let parsed = Pattern::parse(pattern)?;
    if parsed.roman {
        return Ok(roman(parsed, rescaled(value, scale, 0)));
    }
    if parsed.scientific {
        return Ok(scientific(value, scale, parsed.post));
    }
    let overflow = || FunctionError::new("22003", "numeric value out of range");
    let power =
        |digits: usize| u32::try_from(digits).ok().and_then(|digits| 10_i128.checked_pow(digits));
    let mut pattern = parsed;
    let shifted = value.checked_mul(power(pattern.shift).ok_or_else(overflow)?);
    let shifted = shifted.ok_or_else(overflow)?;
    pattern.pre += pattern.shift;
    let wanted = i8::try_from(pattern.post.min(38)).unwrap_or(38);
    // Digits that the number doesn't have are zeros, however many are asked for.
    let kept = wanted.min(scale.max(0));
    let rounded = rescaled(shifted, scale, kept).ok_or_else(overflow)?;
    let width = usize::from(kept.unsigned_abs()) + 1;
    let digits = format!("{:0width$}", rounded.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - (width - 1));
    let mut text = whole.to_owned();
    if pattern.post > 0 {
        text.push('.');
        text.push_str(fraction);
        text.push_str(&"0".repeat(pattern.post - fraction.len()));
    }
    Ok(written(pattern, Digits { negative: rounded < 0, text }))
}

pub(super) fn of_float(value: f64, pattern: &str) -> Result<String> {
    /// Digits that a float8 is sure of.
    const DIGITS_SURE: usize = 15;
    let mut pattern = Pattern::parse(pattern)?;
    if pattern.roman {
        #[expect(clippy::cast_possible_truncation, reason = "beyond the bounds it is shown as #")]
        let whole = (value.abs() < 1e6).then_some(value.round_ties_even() as i128);
        return Ok(roman(pattern, whole));
    }
    if pattern.scientific {
        if !value.is_finite() {
            return Ok(overflowed(&pattern));
        }
        let text = format!("{value:.*e}", pattern.post);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if value.is_sign_negative() { "" } else { " " };
        return Ok(format!("{sign}{mantissa}e{exponent:+03}"));
    }
    if !value.is_finite() {
        return Err(FunctionError::not_supported(
            "to_char of an infinite number or NaN",
            "Filter such values out, or cast them to text.",
        ));
    }
    let shift = i32::try_from(pattern.shift).unwrap_or(i32::MAX);
    let value = if pattern.shifts { value * 10_f64.powi(shift) } else { value };
    pattern.pre += pattern.shift;
    let whole = format!("{:.0}", value.abs()).len();
    if whole >= DIGITS_SURE {
        pattern.post = 0;
    } else if whole + pattern.post > DIGITS_SURE {
        pattern.post = DIGITS_SURE - whole;
    }
    let text = format!("{:.*}", pattern.post, value.abs());
    Ok(written(pattern, Digits { negative: value.is_sign_negative(), text }))
}

/// ` 1.23e+08`
fn scientific(value: i128, scale: i8, post: usize) -> String {
    let digits = value.unsigned_abs().to_string();
    let length = i32::try_from(digits.len()).unwrap_or(0);
    let mut exponent = if value == 0 { 0 } else { length - 1 - i32::from(scale) };
    let mut kept: Vec<u8> = digits.bytes().take(post + 1).collect();
    let round_up = digits.as_bytes().get(post + 1).is_some_and(|digit| *digit >= b'5');
    kept.resize(post + 1, b'0');
    if round_up {
        let mut place = kept.len();
        loop {
            if place == 0 {
                kept.insert(0, b'1');
                kept.pop();
                exponent += 1;
                break;
            }
            place -= 1;
            if kept[place] < b'9' {
                kept[place] += 1;
                break;
            }
            kept[place] = b'0';
        }
    }
    let text: String = kept.iter().map(|digit| char::from(*digit)).collect();
    let (first, rest) = text.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let sign = if value < 0 { "-" } else { " " };
    format!("{sign}{first}{point}{rest}e{exponent:+03}")
}

fn overflowed(pattern: &Pattern) -> String {
    let mut text = "#".repeat(pattern.pre + pattern.post + 6);
    text.replace_range(0..1, " ");
    if pattern.pre + 1 < text.len() {
        text.replace_range(pattern.pre + 1..pattern.pre + 2, ".");
    }
    text
}

fn roman(pattern: Pattern, number: Option<i128>) -> String {
    const STEPS: [(i128, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let text = match number.filter(|number| (1..=3999).contains(number)) {
        None => "#".repeat(15),
        Some(mut number) => {
            let mut text = String::new();
            for (value, letters) in STEPS {
                while number >= value {
                    text.push_str(letters);
                    number -= value;
                }
            }
            text
        }
    };
    let mut written = String::new();
    for node in &pattern.nodes {
        match node {
            Node::Roman { upper } => {
                let text = if *upper { text.clone() } else { text.to_ascii_lowercase() };
                match pattern.fill {
                    true => written.push_str(&text),
                    false => written.push_str(&format!("{text:>15}")),
                }
            }
            Node::Text(character) => written.push(*character),
            Node::Comma | Node::Group if !pattern.fill => written.push(' '),
            _ => {}
        }
    }
    written
}

/// The state of writing a number by a pattern.
struct Writer {
    pattern: Pattern,
    negative: bool,
    number: Vec<u8>,
    /// The next of its characters to be written.
    next: usize,
    out: String,
    /// Spaces in front, for digits that the number doesn't have.
    pre_spaces: usize,
    /// The last character of the number that is shown, where trailing zeros are not.
    last_relevant: Option<usize>,
    sign_written: bool,
    in_number: bool,
    place: usize,
    count: usize,
}

fn written(mut pattern: Pattern, digits: Digits) -> String {
    let Digits { negative, text } = digits;
    let whole = text.find('.').unwrap_or(text.len());
    let (mut number, mut pre_spaces) = (text.into_bytes(), 0);
    if whole < pattern.pre {
        pre_spaces = pattern.pre - whole;
    } else if whole > pattern.pre {
        number = vec![b'#'; pattern.pre + pattern.post + 1];
        number[pattern.pre] = b'.';
    }
    if pattern.zero_start > 0 {
        pattern.zero_start -= 1;
    }
    let mut sign_written;
    if pattern.plus || pattern.minus {
        sign_written = !pattern.plus || pattern.minus;
    } else {
        if !negative && pattern.brackets && pattern.fill {
            pattern.brackets = false;
        }
        sign_written = !negative && pattern.fill && !pattern.has_sign;
        if pattern.anchor == Anchor::Before && pattern.pre == pattern.before_sign {
            pattern.anchor = Anchor::After;
        }
    }
    let mut last_relevant = None;
    if pattern.fill && pattern.has_point {
        last_relevant = last_relevant_digit(&number);
        if let Some(last) = &mut last_relevant
            && pattern.zero_end > pre_spaces
        {
            let zero = (number.len() - 1).min(pattern.zero_end - pre_spaces);
            *last = (*last).max(zero);
        }
    }
    // A number with nothing to write has its sign nowhere.
    if number.is_empty() {
        sign_written = true;
    }
    let count = (pattern.post + pattern.pre)
        .wrapping_sub(1)
        .wrapping_add(usize::from(!sign_written && pre_spaces == 0));
    let mut writer = Writer {
        negative,
        number,
        next: 0,
        out: String::new(),
        pre_spaces,
        last_relevant,
        sign_written,
        in_number: false,
        place: 0,
        count,
        pattern,
    };
    for node in writer.pattern.nodes.clone() {
        writer.node(node);
    }
    writer.out
}

fn last_relevant_digit(number: &[u8]) -> Option<usize> {
    let point = number.iter().position(|byte| *byte == b'.')?;
    let last = number.iter().rposition(|byte| *byte != b'0').unwrap_or(point);
    Some(last.max(point))
}

impl Writer {
    fn node(&mut self, node: Node) {
        let fill = self.pattern.fill;
        match node {
            Node::Nine | Node::Zero | Node::Point => self.digit(node),
            Node::Comma | Node::Group => match (self.in_number, fill) {
                (true, _) => self.out.push(','),
                (false, true) => {}
                (false, false) => self.out.push(' '),
            },
            // The currency of the C locale.
            Node::Currency => self.out.push(' '),
            Node::Minus => match (self.negative, fill) {
                (true, _) => self.out.push('-'),
                (false, true) => {}
                (false, false) => self.out.push(' '),
            },
            Node::Plus => match (self.negative, fill) {
                (false, _) => self.out.push('+'),
                (true, true) => {}
                (true, false) => self.out.push(' '),
            },
            Node::Sign => self.out.push(if self.negative { '-' } else { '+' }),
            Node::Ordinal { upper } => {
                let numeral = self.number.first().is_some_and(u8::is_ascii_digit);
                if !self.negative && !self.pattern.has_point && numeral {
                    let number = String::from_utf8_lossy(&self.number).into_owned();
                    let suffix = ordinal(&number);
                    match upper {
                        true => self.out.push_str(&suffix.to_ascii_uppercase()),
                        false => self.out.push_str(suffix),
                    }
                }
            }
            Node::Text(character) => self.out.push(character),
            Node::Blank
            | Node::Scientific
            | Node::Fill
            | Node::Brackets
            | Node::Roman { .. }
            | Node::AnchoredSign
            | Node::Shift => {}
        }
    }

    /// `9.9` writes 0.1 as ` .1`.
    fn is_space_before_point(&self) -> bool {
        !self.pattern.zero
            && self.next == 0
            && self.number.first() == Some(&b'0')
            && self.pattern.post != 0
    }

    fn ends_with_point(&self) -> bool {
        self.last_relevant.is_some_and(|last| self.number.get(last) == Some(&b'.'))
    }

    /// A digit or the point.
    fn digit(&mut self, node: Node) {
        self.in_number = false;
        let starts_with_zero = self.pattern.zero && self.pattern.zero_start == self.place;
        if !self.sign_written
            && (self.place >= self.pre_spaces || starts_with_zero)
            && (!self.is_space_before_point() || self.ends_with_point())
        {
            self.sign_in_front();
        }
        let zeros_began = self.pattern.zero && self.pattern.zero_start <= self.place;
        if self.place < self.pre_spaces && !zeros_began {
            if !self.pattern.fill {
                self.out.push(' ');
            }
        } else if self.place < self.pre_spaces {
            self.out.push('0');
            self.in_number = true;
        } else {
            self.own_digit(node);
        }
        let mut end = self
            .count
            .wrapping_add(usize::from(self.pre_spaces > 0))
            .wrapping_add(usize::from(self.pattern.has_point));
        if self.last_relevant == Some(self.next) {
            end = self.place;
        }
        if self.place + 1 == end {
            self.sign_behind();
        }
        self.place += 1;
    }

    fn own_digit(&mut self, node: Node) {
        match self.number.get(self.next) {
            Some(b'.') => {
                if !self.ends_with_point() || self.pattern.fill {
                    self.out.push('.');
                }
            }
            digit => {
                let hidden = self.last_relevant.is_some_and(|last| self.next > last);
                if hidden && node != Node::Zero {
                } else if self.is_space_before_point() {
                    if !self.pattern.fill {
                        self.out.push(' ');
                    } else if self.ends_with_point() {
                        self.out.push('0');
                    }
                } else if let Some(digit) = digit {
                    self.out.push(char::from(*digit));
                    self.in_number = true;
                }
            }
        }
        if self.next < self.number.len() {
            self.next += 1;
        }
    }

    fn sign_in_front(&mut self) {
        if self.pattern.has_sign {
            if self.pattern.anchor == Anchor::Before {
                self.out.push(if self.negative { '-' } else { '+' });
                self.sign_written = true;
            }
            return;
        }
        if self.pattern.brackets {
            self.out.push(if self.negative { '<' } else { ' ' });
        } else if self.negative {
            self.out.push('-');
        } else if !self.pattern.fill {
            self.out.push(' ');
        }
        self.sign_written = true;
    }

    fn sign_behind(&mut self) {
        if self.sign_written && self.pattern.brackets {
            self.out.push(if self.negative { '>' } else { ' ' });
        } else if self.pattern.has_sign && self.pattern.anchor == Anchor::After {
            self.out.push(if self.negative { '-' } else { '+' });
        }
    }
}

/// The digits behind the point that a pattern reads.
pub(super) fn scale_of(pattern: &str) -> Option<i8> {
    let pattern = Pattern::parse(pattern).ok()?;
    i8::try_from(pattern.post + pattern.shift).ok()
}

/// The state of reading a number by a pattern.
struct Reader<'t> {
    pattern: &'t Pattern,
    input: &'t [u8],
    at: usize,
    sign: Option<bool>,
    number: String,
    digits_before: usize,
    digits_behind: usize,
    has_point: bool,
}

/// A number read by a pattern: unscaled, and the scale.
///
/// # Errors
/// 22P02 where there is no digit.
pub(super) fn read(text: &str, pattern: &str) -> Result<(i128, i8)> {
    let parsed = Pattern::parse(pattern)?;
    if parsed.scientific {
        return Err(FunctionError::new("0A000", "\"EEEE\" not supported for input"));
    }
    if parsed.roman {
        return Err(FunctionError::new("0A000", "\"RN\" not supported for input"));
    }
    let mut reader = Reader {
        pattern: &parsed,
        input: text.as_bytes(),
        at: 0,
        sign: None,
        number: String::new(),
        digits_before: 0,
        digits_behind: 0,
        has_point: false,
    };
    for node in &parsed.nodes {
        if reader.at >= reader.input.len() {
            break;
        }
        reader.node(*node);
    }
    let invalid = || {
        let message = "invalid input syntax for type numeric: \" \"";
        FunctionError::new("22P02", message)
    };
    if reader.digits_before + reader.digits_behind == 0 {
        return Err(invalid());
    }
    let overflow = || FunctionError::new("22003", "numeric field overflow");
    let digits: String = reader.number.chars().filter(char::is_ascii_digit).collect();
    let value: i128 = digits.parse().map_err(|_| overflow())?;
    let scale = i8::try_from(reader.digits_behind + parsed.shift).map_err(|_| overflow())?;
    Ok((if reader.sign == Some(true) { -value } else { value }, scale))
}

impl Reader<'_> {
    fn here(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    /// Skips so many characters, up to one that may belong to a number.
    fn skip_others(&mut self, count: usize) {
        for _ in 0..count {
            match self.here() {
                Some(byte) if byte.is_ascii_digit() || b",.+-".contains(&byte) => break,
                None => break,
                Some(_) => self.skip_character(),
            }
        }
    }

    fn skip_character(&mut self) {
        self.at += 1;
        while self.here().is_some_and(|byte| byte & 0xC0 == 0x80) {
            self.at += 1;
        }
    }

    fn node(&mut self, node: Node) {
        match node {
            Node::Nine | Node::Zero | Node::Point => {
                self.digit(node);
                self.at += 1;
            }
            Node::Comma | Node::Group => {
                if self.here() == Some(b',') {
                    self.at += 1;
                }
            }
            Node::Currency => self.skip_others(1),
            Node::Ordinal { .. } => self.skip_others(2),
            Node::Minus | Node::Plus | Node::Sign => {
                let sign = match (node, self.here()) {
                    (Node::Minus | Node::Sign, Some(b'-')) => Some(true),
                    (Node::Plus | Node::Sign, Some(b'+')) => Some(false),
                    _ => None,
                };
                match sign {
                    Some(negative) => {
                        self.sign = Some(negative);
                        self.at += 1;
                    }
                    None => self.skip_others(1),
                }
            }
            Node::Text(_) => self.skip_character(),
            Node::Blank
            | Node::Scientific
            | Node::Fill
            | Node::Brackets
            | Node::Roman { .. }
            | Node::AnchoredSign
            | Node::Shift => {}
        }
    }

    fn sign_at(&self, at: usize) -> Option<bool> {
        match self.input.get(at) {
            Some(b'-') => Some(true),
            Some(b'+') => Some(false),
            _ => None,
        }
    }

    /// Reads a digit or the point; the caller steps over it.
    fn digit(&mut self, node: Node) {
        if self.here() == Some(b' ') {
            self.at += 1;
        }
        let none_read = self.digits_before + self.digits_behind == 0;
        if self.sign.is_none() && node != Node::Point && none_read {
            let bracket = self.pattern.brackets && self.here() == Some(b'<');
            let anchored = self.pattern.has_sign && self.pattern.anchor != Anchor::Before;
            let sign = if bracket { Some(true) } else { self.sign_at(self.at) };
            if let Some(negative) = sign.filter(|_| !anchored || !self.pattern.has_sign) {
                self.sign = Some(negative);
                self.at += 1;
            }
        }
        let mut is_read = false;
        match self.here() {
            None => return,
            Some(byte) if byte.is_ascii_digit() => {
                if self.has_point && self.digits_behind == self.pattern.post {
                    return;
                }
                self.number.push(char::from(byte));
                if self.has_point {
                    self.digits_behind += 1
                } else {
                    self.digits_before += 1
                }
                is_read = true;
            }
            Some(b'.') if self.pattern.has_point && !self.has_point => {
                self.number.push('.');
                self.has_point = true;
                is_read = true;
            }
            Some(_) => {}
        }
        if self.sign.is_some() || self.digits_before + self.digits_behind == 0 {
            return;
        }
        if self.pattern.has_sign && is_read {
            if let Some(negative) = self.sign_at(self.at + 1) {
                self.sign = Some(negative);
                self.at += 1;
            }
        } else if !is_read && !self.pattern.has_sign && !self.pattern.plus && !self.pattern.minus {
            self.sign = self.sign_at(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_filled_as_postgres_fills_them() {
        let cases = [
            (125, 0, "999", " 125"),
            (-125, 0, "999S", "125-"),
            (125, 0, "99", " ##"),
            (12_345_678, 4, "FM999,999.00", "1,234.57"),
            (-5, 1, "9.99", " -.50"),
            (5, 1, "FM990.00", "0.50"),
            (-125, 0, "999PR", "<125>"),
            (482, 0, "999th", " 482nd"),
            (485, 0, "FMRN", "CDLXXXV"),
        ];
        for (value, scale, pattern, text) in cases {
            assert_eq!(of_decimal(value, scale, pattern).unwrap(), text, "{pattern}");
        }
    }

    #[test]
    fn numbers_are_read_back() {
        assert_eq!(read("12,454.8-", "99G999D9S").unwrap(), (-124_548, 1));
        assert_eq!(read("<42>", "99PR").unwrap(), (-42, 0));
    }
}
