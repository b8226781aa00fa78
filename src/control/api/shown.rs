//! Things as they are stored, in answers.

/// A thing as it is stored, in JSON.
macro_rules! shown {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = Object)]
        pub struct $name(pub Value);

        impl $name {
            /// The JSON of it.
            ///
            /// # Errors
            /// 500 when it has none.
            pub fn of(thing: &impl Serialize) -> Result<Self, ApiError> {
                Self::without(thing, &[])
            }

            /// The same without the fields named.
            ///
            /// # Errors
            /// 500 when it has none.
            pub fn without(thing: &impl Serialize, hidden: &[&str]) -> Result<Self, ApiError> {
                let mut shown = serde_json::to_value(thing).map_err(|error| ApiError::internal(&error))?;
                if let Some(fields) = shown.as_object_mut() {
                    hidden.iter().for_each(|name| {
                        fields.remove(*name);
                    });
                }
                Ok(Self(shown))
            }
        }
    };
}

pub(super) use shown;
