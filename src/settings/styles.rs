//! `styles.toml` and the keys of `[generation]` that say what users may ask for.

use jobs::domain::{
    Aspect, Locale, PictureRules, Style, Styles, TrainingType,
    style::{GENDER, TRIGGER, WORDS},
};

use super::{
    reader::SettingsReader,
    section::all,
    tables::{TableEntry, TableFile},
};

/// The rules of requests for pictures, for the bot, which checks them, and for the worker.
pub(super) fn rules(from: &mut SettingsReader<'_>) -> Option<PictureRules> {
    all!(PictureRules {
        styles: styles(from),
        most_pictures: from.number("generation.most_pictures", 1..=4),
        prompt_max: from.number("generation.prompt_max", 10..=2_000),
        refused_words: refused_words(from),
    })
}

fn refused_words(from: &mut SettingsReader<'_>) -> Option<Vec<String>> {
    const KEY: &str = "generation.refused_words";
    let text = from.optional::<String>(KEY, "word,another")?.unwrap_or_default();
    let words = text.split(',').map(|word| word.trim().to_lowercase());
    let words = words.filter(|word| !word.is_empty()).collect::<Vec<_>>();
    let odd = words
        .iter()
        .find(|word| word.chars().any(|char| !char.is_alphanumeric()));
    if let Some(odd) = odd {
        let what = format!("{odd:?} is more than one word, and would never be found");
        from.reject(KEY, &what, "Write single words, separated by commas.");
        return None;
    }
    Some(words)
}

fn styles(from: &mut SettingsReader<'_>) -> Option<Styles> {
    let names = from.tables(TableFile::Styles);
    let styles = names
        .iter()
        .filter_map(|name| StyleTable(TableEntry::new(from, TableFile::Styles, name)).read())
        .collect::<Vec<_>>();
    if styles.len() < names.len() {
        return None;
    }
    let mut is_whole = true;
    for training_type in TrainingType::ALL {
        if !styles.iter().any(|style| style.fits(*training_type)) {
            let fix = format!("Give at least one style a prompt.{training_type}.");
            let what = format!("has no style for an avatar of type {training_type}.");
            from.refuse(TableFile::Styles.file_name(), what, fix);
            is_whole = false;
        }
    }
    is_whole.then(|| Styles::new(styles))
}

/// A table of `styles.toml` that is being read.
struct StyleTable<'r, 'a>(TableEntry<'r, 'a>);

impl StyleTable<'_, '_> {
    fn read(&mut self) -> Option<Style> {
        if !self.0.is_table() {
            return None;
        }
        let style = all!(Style {
            name: self.name(),
            titles: self.titles(),
            emoji: self.0.optional("emoji", |entry, path| entry.text(path, "🎬")),
            portrait: self.template("prompt.portrait"),
            style: self.template("prompt.style"),
            negative: self
                .0
                .optional("negative", |entry, path| entry.text(path, "blurry")),
            aspect: self.0.from.word(&self.0.key("aspect"), Aspect::ALL),
            sample_of: self.sample_of(),
        });
        let is_clean = self.0.refuse_unasked(|_| true);
        style.filter(|style| self.fits_its_samples(style) && is_clean)
    }

    /// Names go into buttons, whose data is short.
    fn name(&mut self) -> Option<String> {
        let name = self.0.name;
        let is_letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        let fits = (1..=24).contains(&name.len()) && name.bytes().all(is_letter);
        if !fits {
            let key = format!("{}{name}", TableFile::Styles.prefix());
            let fix = "Use 1 to 24 lower-case letters, digits, - and _.";
            self.0.from.refuse(&key, "is no name for a style.", fix);
        }
        fits.then(|| name.to_owned())
    }

    fn titles(&mut self) -> Option<[(Locale, String); Locale::ALL.len()]> {
        let titles = Locale::ALL.map(|locale| (locale, self.title(locale)));
        let [(ru, first), (en, second), (kk, third)] = titles;
        Some([(ru, first?), (en, second?), (kk, third?)])
    }

    /// Buttons cut off what is longer.
    fn title(&mut self, locale: Locale) -> Option<String> {
        let path = format!("title.{locale}");
        let title = self.0.text(&path, "Cinema")?;
        let fits = title.chars().count() <= 30;
        if !fits {
            let key = self.0.key(&path);
            let fix = "Use at most 30 characters.";
            self.0.from.reject(&key, "it is too long for a button", fix);
        }
        fits.then_some(title)
    }

    #[expect(
        clippy::option_option,
        reason = "the outer one means refused, as in every reader"
    )]
    fn template(&mut self, path: &str) -> Option<Option<String>> {
        let read = |entry: &mut TableEntry<'_, '_>, path: &str| {
            entry.text(path, "photo of {trigger} {gender}, {prompt}, soft light")
        };
        let Some(template) = self.0.optional(path, read)? else {
            return Some(None);
        };
        let parts = template.split(',').map(str::trim).collect::<Vec<_>>();
        let places = template.matches(WORDS).count();
        let bare = [TRIGGER, GENDER, WORDS]
            .iter()
            .fold(template.clone(), |text, known| text.replace(known, ""));
        let wrong = if !template.contains(TRIGGER) {
            Some(("it has no place for the trigger word", "Write {trigger} in it."))
        } else if places != 1 || !parts.contains(&WORDS) {
            Some((
                "it needs one place for the user's words, alone between commas",
                "Write `, {prompt},` once.",
            ))
        } else if bare.contains(['{', '}']) {
            Some((
                "it has a placeholder that does not exist",
                "There are {trigger}, {gender} and {prompt}.",
            ))
        } else if template.chars().count() > 1000 {
            Some(("it is longer than 1000 characters", "Shorten it."))
        } else {
            None
        };
        if let Some((what, fix)) = wrong {
            let key = self.0.key(path);
            self.0.from.reject(&key, what, fix);
            return None;
        }
        Some(Some(template))
    }

    fn sample_of(&mut self) -> Option<Vec<TrainingType>> {
        let text = self
            .0
            .optional("sample_of", |entry, path| entry.text(path, "[\"portrait\"]"))?;
        let text = text.unwrap_or_default();
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let parsed = words
            .map(str::parse::<TrainingType>)
            .collect::<Result<Vec<_>, _>>();
        if let Err(unknown) = &parsed {
            let key = self.0.key("sample_of");
            let fix = "For example [\"portrait\", \"style\"].";
            self.0.from.reject(&key, &unknown.to_string(), fix);
        }
        parsed.ok()
    }

    fn fits_its_samples(&mut self, style: &Style) -> bool {
        if style.portrait.is_none() && style.style.is_none() {
            let fix = "Write prompt.portrait, prompt.style or both.";
            let key = self.0.key("prompt");
            self.0.from.refuse(&key, "is missing.", fix);
            return false;
        }
        let missing = style.sample_of.iter().find(|of| !style.fits(**of));
        if let Some(of) = missing {
            let what = format!("the style has no prompt.{of}");
            let key = self.0.key("sample_of");
            self.0
                .from
                .reject(&key, &what, "Write that prompt, or leave the type out.");
        }
        missing.is_none()
    }
}
