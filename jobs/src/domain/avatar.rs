//! What an avatar is made of. The words are the ones in the database and in FAL's URLs.

/// A word that is none of an enum's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {name:?}: use one of {known}")]
pub struct UnknownName {
    /// What was expected, e.g. `training type`.
    pub what: &'static str,
    /// What was given.
    pub name: String,
    /// The words that exist.
    pub known: String,
}

/// A Postgres enum with the same words in Rust, SQL, JSON and on the command line.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $what:literal, $pg:literal, { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ::serde::Serialize, ::serde::Deserialize, ::sqlx::Type)]
        #[serde(rename_all = "snake_case")]
        #[sqlx(type_name = $pg, rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the database and in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::domain::UnknownName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|known| known.as_str() == name).ok_or_else(|| {
                    let known = Self::ALL.iter().map(|known| known.as_str()).collect::<Vec<_>>().join(", ");
                    $crate::domain::UnknownName { what: $what, name: name.to_owned(), known }
                })
            }
        }
    };
}
pub(super) use named;

named!(
    /// What kind of training the user chose first. There is no default: unknown is an error (M1).
    TrainingType, "training type", "training_type", {
        /// A person: LoRA on a portrait trainer.
        Portrait = "portrait",
        /// A look: LoRA (or finetune) on a general trainer.
        Style = "style",
    }
);

named!(
    /// What the avatar shows. The wizard makes `character`; the others come from imported rows.
    AvatarType, "avatar type", "avatar_type", {
        /// A person.
        Character = "character",
        /// Imported only.
        Custom = "custom",
        /// Imported only.
        Style = "style",
    }
);

named!(
    /// As the user says in the wizard.
    Gender, "gender", "gender", {
        /// Male.
        Male = "male",
        /// Female.
        Female = "female",
    }
);

named!(
    /// Where an avatar is: draft → training → completed | failed | cancelled.
    AvatarStatus, "avatar status", "avatar_status", {
        /// The wizard is not finished.
        Draft = "draft",
        /// A training is live.
        Training = "training",
        /// Has a verified model.
        Completed = "completed",
        /// The last training failed; may be started again.
        Failed = "failed",
        /// The user cancelled; may be started again.
        Cancelled = "cancelled",
    }
);

named!(
    /// Where a photo is.
    PhotoStatus, "photo status", "photo_status", {
        /// Known by Telegram's file id; bytes not yet in our bucket.
        Pending = "pending",
        /// In our bucket.
        Stored = "stored",
        /// Refused for a reason that the user is told.
        Rejected = "rejected",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_training_type_is_an_error_that_names_the_known_ones() {
        let error = "protrait"
            .parse::<TrainingType>()
            .expect_err("there is no such type");
        assert_eq!(
            error.to_string(),
            "unknown training type \"protrait\": use one of portrait, style"
        );
    }
}
