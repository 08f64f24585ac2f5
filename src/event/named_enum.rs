/// Defines an enum of names, with `ALL`, `as_str`, `Display` and `Serialize`, from one list.
///
/// A variant after the `;` holds a name that an application gives.
macro_rules! named_enum {
    (
        $(#[$meta:meta])*
        pub enum $enum:ident {
            $($(#[$doc:meta])* $variant:ident = $name:literal,)+
            $(; $(#[$custom_doc:meta])* $custom:ident,)?
        }
    ) => {
        $(#[$meta])*
        pub enum $enum {
            $($(#[$doc])* $variant,)+
            $($(#[$custom_doc])* $custom(&'static str),)?
        }

        impl $enum {
            #[doc = concat!("Every variant" $(, " but [`", stringify!($custom), "`](Self::", stringify!($custom), ")")?, ".")]
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    $(Self::$custom(name) => name,)?
                }
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        #[cfg(feature = "json")]
        impl serde::Serialize for $enum {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

pub(super) use named_enum;
