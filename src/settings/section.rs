//! The two macros with which sections are written.
//!
//! Both read every field before they give up because of one, so that all mistakes are found in one go.
//! Neither has a `..`: a field without a reader does not compile.

/// Builds a struct of the domain from readers: `all!(Patience { run: from.duration(…), … })`. A field without
/// a reader is a variable of the same name, read before. `None` if a field was refused.
macro_rules! all {
    ($Struct:ident { $($field:ident $(: $read:expr)?),* $(,)? }) => {{
        $($(let $field = $read;)?)*
        // No `?`: code after it in the caller may find more problems.
        if let ($(Some($field),)*) = ($($field,)*) {
            Some($Struct { $($field),* })
        } else {
            None
        }
    }};
}

/// Declares a struct of settings together with its reader. Each field is a declaration, `name: Type = reader`. A
/// `check` runs after all fields were read, sees them as `Option`s, and may refuse values that contradict each other.
macro_rules! section {
    (
        $(#[$doc:meta])*
        pub struct $Name:ident($from:ident) {
            $($(#[$field_doc:meta])* $field:ident: $Type:ty = $read:expr,)*
        }
        $(check { $($check:expr;)* })?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $Name {
            $($(#[$field_doc])* pub $field: $Type),*
        }

        impl $Name {
            pub(super) fn read($from: &mut $crate::settings::reader::SettingsReader<'_>) -> Option<Self> {
                $(let $field: Option<$Type> = $read;)*
                $($($check;)*)?
                Some(Self { $($field: $field?),* })
            }
        }
    };
}

pub(super) use {all, section};
