//! The schemas are those of the types.

use std::{collections::BTreeSet, path::PathBuf};

use schemars::{JsonSchema, generate::SchemaSettings, transform::transform_subschemas};
use serde_json::{Value, json};

use super::SCHEMAS;
use crate::view::{
    CompletionsView, ConfigCheckView, ConfigView, CopyView, DeletedView, DifferenceView, DiscoveryView, DoctorView,
    DrillView, ErrorDocument, EventsView, ExportView, HooksView, ImportView, KeptArchivedView, KeptDiscardedView,
    KeptListView, ManView, MembersView, PlanView, ProgressView, ProspectView, PruneView, RebuiltView, RecoveryView,
    RemovedView, ReportView, SchemasView, SnapshotView, SnapshotsView, StatusView, VerificationView, VersionView,
    WorkloadView, WorkloadsView,
};

/// Commands that begin by recovering what a crash left say so in their document, whatever that is.
const RECOVERING: [&str; 7] = ["delete", "error", "import", "prune", "report", "snapshot", "workload-remove"];

/// All that there is to describe.
fn documents() -> [(&'static str, Value); SCHEMAS.len()] {
    [
        ("completions", made::<CompletionsView>()),
        ("config-check", made::<ConfigCheckView>()),
        ("config-show", made::<ConfigView>()),
        ("copy", made::<CopyView>()),
        ("delete", made::<DeletedView>()),
        ("diff", made::<DifferenceView<'_>>()),
        ("doctor", made::<DoctorView>()),
        ("drill", made::<DrillView>()),
        ("error", made::<ErrorDocument>()),
        ("events", made::<EventsView>()),
        ("export", made::<ExportView>()),
        ("import", made::<ImportView>()),
        ("kept-archive", made::<KeptArchivedView>()),
        ("kept-discard", made::<KeptDiscardedView>()),
        ("kept-list", made::<KeptListView>()),
        ("list", made::<SnapshotsView>()),
        ("ls", made::<MembersView<'_>>()),
        ("man", made::<ManView>()),
        ("plan", made::<PlanView>()),
        ("progress", made::<ProgressView<'_>>()),
        ("prune", made::<PruneView>()),
        ("rebuild", made::<RebuiltView>()),
        ("recover", made::<RecoveryView>()),
        ("report", made::<ReportView>()),
        ("schema", made::<SchemasView>()),
        ("snapshot", made::<SnapshotView>()),
        ("status", made::<StatusView>()),
        ("verify", made::<VerificationView>()),
        ("version", made::<VersionView>()),
        ("workload", made::<WorkloadView>()),
        ("workload-add-dry-run", made::<ProspectView>()),
        ("workload-discover", made::<DiscoveryView>()),
        ("workload-hook", made::<HooksView>()),
        ("workload-list", made::<WorkloadsView>()),
        ("workload-remove", made::<RemovedView>()),
    ]
}

/// A document as it is written, which is not always as it could be read.
fn made<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(as_printed);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// What the types do not say: a field that is left out where there is nothing to say is never `null`, and a description
/// has no links into the documentation of the library.
fn as_printed(schema: &mut schemars::Schema) {
    transform_subschemas(&mut as_printed, schema);
    let required: BTreeSet<String> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(text).collect();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        let left_out = properties.iter_mut().filter(|(name, _)| !required.contains(*name));
        left_out.for_each(|(_, property)| without_null(property));
    }
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace("[`", "`").replace("`]", "`");
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_string)
}

fn without_null(property: &mut Value) {
    let Some(fields) = property.as_object_mut() else { return };
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [kind] = types.as_slice() {
            let kind = kind.clone();
            fields.insert("type".into(), kind);
        }
    }
    if let Some(Value::Array(choices)) = fields.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(choice)] = choices.as_slice() {
            let choice = choice.clone();
            fields.remove("anyOf");
            fields.extend(choice);
        }
    }
}

/// The schema as it lies in its file.
fn file(name: &str, mut schema: Value) -> String {
    schema["$id"] = format!("urn:volsnap:schema:{name}").into();
    let commands = SCHEMAS.iter().find(|schema| schema.name == name).map_or(&[][..], |schema| schema.commands);
    schema["title"] = match (name, commands) {
        ("progress", _) => "a line of volsnap --progress json".into(),
        (_, []) => format!("volsnap --json: {name}").into(),
        (_, [..]) => commands.iter().map(|c| format!("volsnap {c} --json")).collect::<Vec<_>>().join(", ").into(),
    };
    if RECOVERING.contains(&name) {
        let recovered = made::<RecoveryView>();
        schema["properties"]["recovered"] = json!({
            "description": "What an earlier crash had left and was brought to its end first; absent if there was nothing.",
            "items": recovered["properties"]["recovered"]["items"],
            "type": "array",
        });
        let definitions = recovered["$defs"].as_object().cloned().unwrap_or_default();
        let all = schema["$defs"].as_object().cloned().unwrap_or_default().into_iter().chain(definitions);
        schema["$defs"] = all.collect::<serde_json::Map<_, _>>().into();
    }
    format!("{schema:#}\n")
}

#[test]
fn schemas_are_those_of_the_types() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let write = std::env::var("VOLSNAP_GOLDEN").is_ok_and(|how| how == "write");
    let mut expected = BTreeSet::new();
    for (name, schema) in documents() {
        let (path, text) = (dir.join(format!("{name}.json")), file(name, schema));
        if write {
            std::fs::write(&path, &text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "{} is stale: VOLSNAP_GOLDEN=write cargo test -p volsnap --lib schemas", path.display());
        expected.insert(format!("{name}.json"));
    }
    let listed: BTreeSet<String> = SCHEMAS.iter().map(|schema| format!("{}.json", schema.name)).collect();
    let files = std::fs::read_dir(&dir).unwrap();
    let files: BTreeSet<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!((&listed, &files), (&expected, &expected));
}
