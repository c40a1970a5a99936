//! The two macros that sections are written with.
//!
//! Both read every field before they give up on one, so that each mistake is found in one go, and neither has a `..`: a field
//! that nobody reads does not compile.

/// Builds a struct of the domain from readers: `all!(Patience { run: from.duration(…), … })`. A field without a reader is a
/// variable of the same name, read before. `None` if a field was refused.
macro_rules! all {
    ($Struct:ident { $($field:ident $(: $read:expr)?),* $(,)? }) => {{
        $($(let $field = $read;)?)*
        // No `?`: what comes after in the caller may have more to refuse.
        if let ($(Some($field),)*) = ($($field,)*) {
            Some($Struct { $($field),* })
        } else {
            None
        }
    }};
}

/// Declares a struct of settings together with its reader: each field is a declaration, `name: Type = reader`. A `check` sees
/// all fields as `Option`s, once each was read, and may refuse what contradicts.
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
            pub(super) fn read($from: &mut $crate::settings::reader::Reader<'_>) -> Option<Self> {
                $(let $field: Option<$Type> = $read;)*
                $($($check;)*)?
                Some(Self { $($field: $field?),* })
            }
        }
    };
}

pub(super) use {all, section};
