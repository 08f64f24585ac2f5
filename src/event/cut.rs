/// Cuts a text that others made to a length in bytes, and marks that it was.
pub(crate) fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let boundary = (0..=most).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(boundary.unwrap_or_default());
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_a_short_one_left_alone() {
        for (text, most, expected) in [("abc", 3, "abc"), ("abcd", 3, "abc…"), ("aäb", 2, "a…")]
        {
            let mut text = text.to_owned();
            cut(&mut text, most);
            assert_eq!(text, expected);
        }
    }
}
