//! One field of an update: its value, and its path for error messages.

use std::fmt;

use serde_json::Value;

/// How many names an error message lists; an update may have hundreds.
const MOST_NAMES: usize = 5;
/// How many characters of a name an error message shows.
const LONGEST_NAME: usize = 40;

/// A field that exists and is not `null`.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    value: &'a Value,
    path: Path<'a>,
}

/// The path of a field. We look at most three levels deep.
#[derive(Clone, Copy, Default)]
struct Path<'a>([&'a str; 3]);

impl<'a> Field<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self {
            value,
            path: Path::default(),
        }
    }

    /// The field with this name, if it exists.
    pub(super) fn get(self, name: &'a str) -> Option<Self> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        let path = self.path.then(name);
        Some(Self { value, path })
    }

    /// The text in a field. `None`: there is no such field.
    pub(super) fn text(self, name: &str) -> Result<Option<&'a str>, String> {
        match self.value.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("{}{name} is no text", self.path)),
        }
    }

    /// The text in a required field.
    pub(super) fn needed_text(self, name: &str) -> Result<&'a str, String> {
        match self.text(name) {
            Ok(None) => Err(format!("{}{name} is missing", self.path)),
            Ok(Some("")) => Err(format!("{}{name} is empty", self.path)),
            Ok(Some(text)) => Ok(text),
            Err(wrong) => Err(wrong),
        }
    }

    /// The whole number in a field. `None`: there is no such field, or it is no whole number.
    pub(super) fn number(self, name: &str) -> Option<i64> {
        self.value.get(name)?.as_i64()
    }

    /// The items of a list, each with the path of the list.
    pub(super) fn items(self) -> Result<impl Iterator<Item = Self>, String> {
        let path = self.path;
        let Some(items) = self.value.as_array() else {
            return Err(format!("{} is no list", path.name()));
        };
        Ok(items.iter().map(move |value| Self { value, path }))
    }

    /// The path of the field.
    pub(super) fn name(&self) -> String {
        self.path.name()
    }

    /// Names of the fields that are not in `known`, for an error message; `None` when there are none.
    pub(super) fn names_but(self, known: &[&str]) -> Option<String> {
        let Some(fields) = self.value.as_object() else {
            return Some(format!("{} has no fields", self.path.name()));
        };
        let unknown: Vec<String> = fields
            .keys()
            .filter(|name| !known.contains(&name.as_str()))
            .take(MOST_NAMES)
            .map(|name| name.chars().take(LONGEST_NAME).collect())
            .collect();
        (!unknown.is_empty()).then(|| unknown.join(", "))
    }
}

impl<'a> Path<'a> {
    fn then(self, name: &'a str) -> Self {
        let mut steps = self.0;
        match steps.iter_mut().find(|step| step.is_empty()) {
            Some(free) => *free = name,
            None => steps[2] = name,
        }
        Self(steps)
    }

    fn name(self) -> String {
        let steps: Vec<_> = self.0.into_iter().filter(|step| !step.is_empty()).collect();
        if steps.is_empty() {
            "the update".to_owned()
        } else {
            steps.join(".")
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.0.into_iter().filter(|step| !step.is_empty()) {
            write!(f, "{step}.")?;
        }
        Ok(())
    }
}

/// A user's id, which must be a positive number.
pub(super) fn user(from: Field<'_>) -> Option<i64> {
    from.number("id").filter(|id| *id > 0)
}

/// The user whose private chat this is; `None` for a group or channel. A chat without a readable type or id
/// counts as private if its id is positive: groups and channels have negative ids.
pub(super) fn person_in(chat: Option<Field<'_>>, from: Option<Field<'_>>) -> Option<i64> {
    let id = chat.and_then(|chat| chat.number("id"));
    match chat.map(|chat| chat.text("type")) {
        Some(Ok(Some("private"))) => id.filter(|id| *id > 0).or_else(|| from.and_then(user)),
        Some(Ok(Some(_))) => None,
        _ => match id {
            Some(id) => Some(id).filter(|id| *id > 0),
            None => from.and_then(user),
        },
    }
}
