//! What goes with the binary.

use volsnap::view::SchemasView;

use super::table::{Column::Text, table};

/// The answer of `schema`.
pub fn schemas(view: &SchemasView) -> String {
    table(
        [Text("SCHEMA"), Text("PRINTED BY")],
        view.schemas.iter().map(|schema| {
            let commands = match (schema.name, schema.commands) {
                ("progress", _) => "--progress json, line by line".into(),
                (_, []) => "every command that fails".into(),
                (_, commands) => commands.join(", "),
            };
            [schema.name.to_string(), commands]
        }),
    )
}
