//! Enums whose values are written as one of a few words, on the command line and in the hook file.

/// Implements `Display`, `FromStr` and `WORDS`.
macro_rules! keywords {
    ($type:ident { $($word:literal => $variant:ident),+ $(,)? }) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }
        impl std::str::FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("'{text}' is none of {}", Self::WORDS.join(", "))),
                }
            }
        }
        impl $type {
            /// The words that the command line and the hook file accept.
            pub const WORDS: &'static [&'static str] = &[$($word),+];
        }
    };
}
pub(crate) use keywords;
