//! The states and properties of an avatar. The words are those of the database and of FAL's URLs.

/// A word that an enum does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {name:?}: use one of {known}")]
pub struct UnknownName {
    /// The enum in words, e.g. `training type`.
    pub what: &'static str,
    /// The unknown word, as it was given.
    pub name: String,
    /// The words that exist, for the error message.
    pub known: String,
}

/// Defines a Postgres enum with the same words in Rust, SQL, JSON and on the command line.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $what:literal, $pg:literal, { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ::serde::Serialize, ::serde::Deserialize, ::sqlx::Type)]
        #[serde(rename_all = "snake_case")]
        #[sqlx(type_name = $pg, rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// All variants, in the order of the declaration.
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
    /// The user's first choice. There is no default: an unknown type is an error (M1).
    TrainingType, "training type", "training_type", {
        /// A person: a LoRA from a portrait trainer.
        Portrait = "portrait",
        /// A look: a LoRA or finetune from a general trainer.
        Style = "style",
    }
);

named!(
    /// The subject of the avatar. The wizard makes only `character`; the others come from imported rows.
    AvatarType, "avatar type", "avatar_type", {
        /// A person; the wizard's only choice.
        Character = "character",
        /// Comes from imported rows only.
        Custom = "custom",
        /// Comes from imported rows only.
        Style = "style",
    }
);

named!(
    /// The person's gender, as the user chose it in the wizard.
    Gender, "gender", "gender", {
        /// A man.
        Male = "male",
        /// A woman.
        Female = "female",
    }
);

named!(
    /// The state of an avatar: draft → training → completed | failed | cancelled.
    AvatarStatus, "avatar status", "avatar_status", {
        /// The wizard is not finished.
        Draft = "draft",
        /// A training of it is live.
        Training = "training",
        /// It has a verified model.
        Completed = "completed",
        /// The last training failed; the user may start another.
        Failed = "failed",
        /// The user cancelled the training, and may start another.
        Cancelled = "cancelled",
    }
);

named!(
    /// The state of a photo.
    PhotoStatus, "photo status", "photo_status", {
        /// Telegram has it, under its file id; our bucket does not have it yet.
        Pending = "pending",
        /// Our bucket has it, under `storage_key`.
        Stored = "stored",
        /// It was refused, for a reason that the user was told.
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
