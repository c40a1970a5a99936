//! The styles of pictures: what the user picks, and the prompt that FAL gets.
//!
//! The table is `config/styles.toml`, read and checked once at start-up (`src/settings/styles.rs`). Rows name a style by
//! its key, and an operator may remove it, so each look-up returns an `Option`.
//!
//! # Must stay true
//! * every prompt holds the avatar's trigger word: without it FAL draws a stranger
//! * the user's words are inserted last and are never read as a template

use super::{Aspect, Gender, Locale, TrainingType};

/// Stands for the trigger word in a template.
pub const TRIGGER: &str = "{trigger}";
/// Stands for "man" or "woman" in a template.
pub const GENDER: &str = "{gender}";
/// Stands for the user's words in a template; alone between two commas.
pub const WORDS: &str = "{prompt}";

/// All styles, those of first pictures before the others.
#[derive(Debug, Clone)]
pub struct Styles(Vec<Style>);

/// One entry of the style table.
#[derive(Debug, Clone)]
pub struct Style {
    /// Its key in the table, in rows and in buttons: at most 24 lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// What the user reads, for each of [`Locale::ALL`].
    pub titles: [(Locale, String); Locale::ALL.len()],
    /// Stands before the title. `None`: the title stands alone.
    pub emoji: Option<String>,
    /// The prompt for an avatar that is a person. `None`: the style does not fit one.
    pub portrait: Option<String>,
    /// The prompt for an avatar that is a look. `None`: the style does not fit one.
    pub style: Option<String>,
    /// What should not be drawn, for generators that can be told.
    pub negative: Option<String>,
    /// The shape of a picture whose user chose none.
    pub aspect: Aspect,
    /// The types of avatars whose first pictures are made in this style.
    pub sample_of: Vec<TrainingType>,
}

/// The avatar that is drawn.
#[derive(Debug, Clone, Copy)]
pub struct DrawnAvatar<'a> {
    /// Whether the trigger word stands for a person or for a look.
    pub training_type: TrainingType,
    /// The word that was trained.
    pub trigger: &'a str,
    /// The person's gender; of a look, the gender of whoever is drawn in it.
    pub gender: Gender,
}

impl Styles {
    /// The styles in the order in which users see them.
    pub fn new(mut styles: Vec<Style>) -> Self {
        styles.sort_by_key(|style| style.sample_of.is_empty());
        Self(styles)
    }

    /// The style with this name. `None`: an operator has removed it.
    pub fn get(&self, name: &str) -> Option<&Style> {
        self.0.iter().find(|style| style.name == name)
    }

    /// The styles that fit this type of avatar.
    pub fn fitting(&self, training_type: TrainingType) -> impl Iterator<Item = &Style> {
        self.0.iter().filter(move |style| style.fits(training_type))
    }

    /// The styles in which the first pictures of such an avatar are made.
    pub fn samples(&self, training_type: TrainingType) -> impl Iterator<Item = &Style> {
        self.fitting(training_type)
            .filter(move |style| style.sample_of.contains(&training_type))
    }
}

impl Style {
    /// What the user reads on a button: the emoji and the title.
    pub fn title(&self, locale: Locale) -> String {
        let title = self.titles.iter().find(|(of, _)| *of == locale);
        let title = title.map_or(self.name.as_str(), |(_, title)| title);
        match &self.emoji {
            Some(emoji) => format!("{emoji} {title}"),
            None => title.to_owned(),
        }
    }

    /// Whether it has a prompt for this type of avatar.
    pub const fn fits(&self, training_type: TrainingType) -> bool {
        self.template(training_type).is_some()
    }

    const fn template(&self, training_type: TrainingType) -> Option<&String> {
        match training_type {
            TrainingType::Portrait => self.portrait.as_ref(),
            TrainingType::Style => self.style.as_ref(),
        }
    }

    /// The prompt that FAL gets. `words` are the user's, perhaps none; their place is left out then. A style that no
    /// longer fits the avatar's type lends its other prompt, since a request in it may be under way.
    pub fn prompt(&self, subject: DrawnAvatar<'_>, words: &str) -> String {
        let (trigger, words) = (subject.trigger, words.trim());
        let template = self.template(subject.training_type);
        let template = template.or(self.portrait.as_ref()).or(self.style.as_ref());
        let parts = template.map(|template| template.split(',').map(str::trim));
        let parts = parts.into_iter().flatten().filter_map(|part| {
            if part == WORDS {
                return (!words.is_empty()).then(|| words.to_owned());
            }
            let part = part.replace(TRIGGER, trigger);
            Some(part.replace(GENDER, noun(subject.gender)))
        });
        let prompt = parts.collect::<Vec<_>>().join(", ");
        if prompt.contains(trigger) {
            prompt
        } else {
            format!("{trigger}, {prompt}")
        }
    }
}

/// Prompts are English, whatever language the user speaks: the models know it best.
const fn noun(gender: Gender) -> &'static str {
    match gender {
        Gender::Male => "man",
        Gender::Female => "woman",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(portrait: Option<&str>, look: Option<&str>) -> Style {
        let titles = [(Locale::Ru, "Кино"), (Locale::En, "Cinema"), (Locale::Kk, "Кино")];
        Style {
            name: "cinema".to_owned(),
            titles: titles.map(|(locale, title)| (locale, title.to_owned())),
            emoji: Some("🎬".to_owned()),
            portrait: portrait.map(str::to_owned),
            style: look.map(str::to_owned),
            negative: None,
            aspect: Aspect::Wide,
            sample_of: vec![TrainingType::Portrait],
        }
    }

    const ANNA: DrawnAvatar<'_> = DrawnAvatar {
        training_type: TrainingType::Portrait,
        trigger: "TOK_1",
        gender: Gender::Female,
    };

    #[test]
    fn a_prompt_reads_well_with_words_and_without() {
        let cinema = style(
            Some("film still of {trigger} {gender}, {prompt}, moody light"),
            None,
        );
        assert_eq!(
            cinema.prompt(ANNA, " в дождь, ночью "),
            "film still of TOK_1 woman, в дождь, ночью, moody light"
        );
        assert_eq!(
            cinema.prompt(ANNA, "  "),
            "film still of TOK_1 woman, moody light"
        );
        let ivan = DrawnAvatar {
            gender: Gender::Male,
            ..ANNA
        };
        assert_eq!(cinema.prompt(ivan, ""), "film still of TOK_1 man, moody light");
    }

    #[test]
    fn the_users_words_are_no_template() {
        let cinema = style(Some("{trigger} {gender}, {prompt}"), None);
        assert_eq!(
            cinema.prompt(ANNA, "{trigger} {gender} {prompt}"),
            "TOK_1 woman, {trigger} {gender} {prompt}"
        );
    }

    #[test]
    fn the_trigger_is_in_every_prompt_also_of_a_style_that_fits_no_more() {
        let look = DrawnAvatar {
            training_type: TrainingType::Style,
            ..ANNA
        };
        let portraits_only = style(Some("photo of {trigger} {gender}, {prompt}"), None);
        assert!(!portraits_only.fits(TrainingType::Style));
        assert_eq!(portraits_only.prompt(look, "sea"), "photo of TOK_1 woman, sea");
        let without = style(Some("photo, {prompt}"), None);
        assert_eq!(without.prompt(ANNA, "sea"), "TOK_1, photo, sea");
        let nothing = style(None, None);
        assert!(nothing.prompt(ANNA, "").contains("TOK_1"));
    }

    #[test]
    fn styles_of_first_pictures_come_first_and_a_removed_one_is_none() {
        let entry = |name: &str, sample_of: &[TrainingType]| Style {
            name: name.to_owned(),
            sample_of: sample_of.to_vec(),
            ..style(Some("{trigger}, {prompt}"), Some("{trigger}, {prompt}"))
        };
        let styles = Styles::new(vec![
            entry("anime", &[]),
            entry("cinema", &[TrainingType::Style]),
            entry("studio", &[TrainingType::Portrait]),
        ]);
        let names = |styles: Vec<&Style>| styles.iter().map(|style| style.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            names(styles.fitting(TrainingType::Portrait).collect()),
            ["cinema", "studio", "anime"]
        );
        assert_eq!(
            names(styles.samples(TrainingType::Portrait).collect()),
            ["studio"]
        );
        assert!(styles.get("watercolour").is_none());
        assert_eq!(styles.get("cinema").unwrap().title(Locale::En), "🎬 Cinema");
    }
}
