/// A figure as a person reads it: three digits that count, and thousands set apart.
pub(crate) fn text(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.1 {
        return format!("{value:.3}");
    }
    let decimals = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let plain = format!("{value:.decimals$}");
    let (sign, plain) = match plain.strip_prefix('-') {
        Some(plain) => ("−", plain),
        None => ("", plain.as_str()),
    };
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{fraction}")
}

/// A figure and its unit; a factor stands by its sign alone.
pub(crate) fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", text(value)).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn three_digits_count_and_thousands_stand_apart() {
        for (value, expected) in [
            (0.0, "0"),
            (0.0123, "0.012"),
            (1.0149, "1.01"),
            (23.86, "23.9"),
            (327.4, "327"),
            (2760.4, "2,760"),
            (1_343_617.0, "1,343,617"),
            (-4.26, "−4.26"),
        ] {
            assert_eq!(text(value), expected);
        }
    }
}
