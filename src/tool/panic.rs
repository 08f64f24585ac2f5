use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `work`, which is someone else's; `Err` is the text of its panic.
///
/// Callers drop what panicked and never look into it again, which is what makes the assertion of unwind
/// safety true.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let payload = match payload.downcast::<String>() {
            Ok(text) => return *text,
            Err(payload) => payload,
        };
        match payload.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(payload) => {
                // Dropping a payload can panic as well, and it is nothing we own: let it be.
                std::mem::forget(payload);
                "(the panic carried no text)".to_owned()
            }
        }
    })
}
