/// Formats a value with three significant digits and with separators between thousands.
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
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{fraction}")
}

/// Formats a value with its unit, which may be empty.
pub(crate) fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", text(value)).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn values_have_three_significant_digits_and_separated_thousands() {
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
