//! The golden scripts, a case each.

use crate::{CaseResult, Ctx, Factory};

macro_rules! scripts {
    ($($case:ident $name:literal;)*) => {
        $(
            pub(crate) fn $case<F: Factory>(cx: &Ctx<F>) -> CaseResult {
                crate::script::check(cx, $name, include_str!(concat!("../../scripts/", $name)))
            }
        )*

        /// The names of the scripts.
        #[cfg(test)]
        const NAMES: &[&str] = &[$($name),*];
    };
}

scripts! {
    script_quickstart "quickstart";
    script_write_skew "write_skew";
    script_lost_update "lost_update";
    script_phantom "phantom";
    script_time_travel "time_travel";
    script_revert "revert";
    script_restore "restore";
    script_diff "diff";
    script_delete_version "delete_version";
    script_empty_values "empty_values";
    script_prefix_0xff "prefix_0xff";
    script_reverse_ranges "reverse_ranges";
    script_conflicts_explained "conflicts_explained";
    script_changes "changes";
    script_bank "bank";
    script_declared_ranges "declared_ranges";
}

#[cfg(test)]
mod tests {
    use super::NAMES;

    #[test]
    fn every_script_is_a_case() -> std::io::Result<()> {
        for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts"))? {
            let name = file?.file_name();
            assert!(NAMES.iter().any(|n| name == *n), "{name:?} is not played");
        }
        Ok(())
    }
}
