//! Languages that answers are asked for in: their names, and how to insist on them.

/// One language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language {
    /// BCP 47 primary subtag.
    pub tag: &'static str,
    /// ISO 639-3, by which language detectors name it.
    pub code: &'static str,
    /// In English.
    pub name: &'static str,
    /// "Write the whole answer in this language", in that language: what a small model obeys best.
    pub insist: &'static str,
}

const fn language(tag: &'static str, code: &'static str, name: &'static str, insist: &'static str) -> Language {
    Language { tag, code, name, insist }
}

const LANGUAGES: [Language; 24] = [
    language("ar", "ara", "Arabic", "اكتب الإجابة كاملة باللغة العربية."),
    language("cs", "ces", "Czech", "Celou odpověď napiš česky."),
    language("da", "dan", "Danish", "Skriv hele svaret på dansk."),
    language("de", "deu", "German", "Schreibe die gesamte Antwort auf Deutsch."),
    language("el", "ell", "Greek", "Γράψε ολόκληρη την απάντηση στα ελληνικά."),
    language("en", "eng", "English", "Write the whole answer in English."),
    language("es", "spa", "Spanish", "Escribe toda la respuesta en español."),
    language("fi", "fin", "Finnish", "Kirjoita koko vastaus suomeksi."),
    language("fr", "fra", "French", "Rédige toute la réponse en français."),
    language("he", "heb", "Hebrew", "כתוב את כל התשובה בעברית."),
    language("hi", "hin", "Hindi", "पूरा उत्तर हिन्दी में लिखिए।"),
    language("id", "ind", "Indonesian", "Tulis seluruh jawaban dalam bahasa Indonesia."),
    language("it", "ita", "Italian", "Scrivi tutta la risposta in italiano."),
    language("ja", "jpn", "Japanese", "回答はすべて日本語で書いてください。"),
    language("ko", "kor", "Korean", "답변 전체를 한국어로 작성하세요."),
    language("nl", "nld", "Dutch", "Schrijf het hele antwoord in het Nederlands."),
    language("pl", "pol", "Polish", "Napisz całą odpowiedź po polsku."),
    language("pt", "por", "Portuguese", "Escreva toda a resposta em português."),
    language("ru", "rus", "Russian", "Напиши весь ответ на русском языке."),
    language("sv", "swe", "Swedish", "Skriv hela svaret på svenska."),
    language("tr", "tur", "Turkish", "Yanıtın tamamını Türkçe yaz."),
    language("uk", "ukr", "Ukrainian", "Напиши всю відповідь українською мовою."),
    language("vi", "vie", "Vietnamese", "Hãy viết toàn bộ câu trả lời bằng tiếng Việt."),
    language("zh", "cmn", "Chinese", "请用中文写出全部回答。"),
];

/// The primary subtag in lower case: `ja_JP.UTF-8` and `ja-JP` are `ja`.
pub fn primary(tag: &str) -> String {
    tag.split(['-', '_', '.', '@']).next().unwrap_or_default().to_ascii_lowercase()
}

/// The language that a tag means, if it is one of those known here.
pub fn find(tag: &str) -> Option<&'static Language> {
    let primary = primary(tag);
    LANGUAGES.iter().find(|language| language.tag == primary)
}

/// The language with this ISO 639-3 code.
pub fn find_code(code: &str) -> Option<&'static Language> {
    LANGUAGES.iter().find(|language| language.code == code)
}

/// All of them.
pub fn all() -> &'static [Language] {
    &LANGUAGES
}

/// In English; an unknown tag is its own name.
pub fn name(tag: &str) -> String {
    find(tag).map_or_else(|| tag.to_string(), |language| language.name.to_string())
}

/// "Write the whole answer in …", in that language where it is known, else in English with the tag as it is.
pub fn insist(tag: &str) -> String {
    find(tag).map_or_else(|| format!("Write the whole answer in {tag}."), |language| language.insist.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_with_region_script_or_encoding_are_found() {
        for (tag, expected) in
            [("ja_JP.UTF-8", "Japanese"), ("zh-Hant-TW", "Chinese"), ("EN", "English"), ("tlh", "tlh")]
        {
            assert_eq!(name(tag), expected);
        }
        assert_eq!(insist("tlh"), "Write the whole answer in tlh.");
    }

    #[test]
    fn tags_and_codes_are_each_there_once() {
        for language in all() {
            assert_eq!(all().iter().filter(|other| other.tag == language.tag).count(), 1);
            assert_eq!(find_code(language.code), Some(language));
            assert!(whatlang::Lang::from_code(language.code).is_some(), "{}", language.code);
        }
    }
}
