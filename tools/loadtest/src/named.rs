//! Enums whose variants have names: on the command line, in reports and in results.

/// Declares an enum with `ALL`, `name` and `names`. It is serialized as its name, and parsed as a value of a flag.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $Enum:ident { $($(#[$doc:meta])* $Variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $Enum { $($(#[$doc])* #[serde(rename = $name)] $Variant,)* }

        impl $Enum {
            /// All variants.
            pub const ALL: [$Enum; [$($name),*].len()] = [$($Enum::$Variant),*];

            /// Returns its name.
            pub fn name(self) -> &'static str {
                match self { $($Enum::$Variant => $name),* }
            }

            /// Returns all names as a list for a sentence.
            pub fn names() -> String {
                [$($name),*].join(", ")
            }
        }

        impl game_client::options::Value for $Enum {
            fn parse(text: &str, _: game_client::options::Bounds) -> Result<$Enum, String> {
                let named = $Enum::ALL.into_iter().find(|variant| variant.name() == text);
                named.ok_or_else(|| format!("one of {}", $Enum::names()))
            }
        }
    };
}

pub(crate) use named;
