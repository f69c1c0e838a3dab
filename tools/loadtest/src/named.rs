//! Enums whose variants have names: on the command line, in reports and in results.

/// Declares an enum with `ALL`, `name` and `named`. It is serialized as its name.
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

            /// Returns the variant of this name.
            #[allow(dead_code, reason = "not every enum is parsed")]
            pub fn named(name: &str) -> Option<$Enum> {
                $Enum::ALL.into_iter().find(|variant| variant.name() == name)
            }

            /// Returns all names as a list for a sentence.
            #[allow(dead_code, reason = "not every enum is parsed")]
            pub fn names() -> String {
                [$($name),*].join(", ")
            }
        }
    };
}

pub(crate) use named;
