//! Holds what commands print to the JSON schemas that `volsnap schema` prints.
//!
//! The tests with container engines and crashes, in a crate of their own, share this file.

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;
use volsnap::view::{SCHEMAS, Schema};

/// Asserts that a document is what the command prints by its schema, or an error; or that it is a schema itself.
pub fn check(args: &[&str], document: &Value) {
    if document.get("$schema").is_some() {
        return;
    }
    let schema = of(args, document);
    if let Some(problem) = problem(schema, document) {
        panic!("{args:?}: this is no {}: {problem}\n{document:#}", schema.name);
    }
}

/// Asserts that a line on standard error is one of progress.
pub fn check_progress(line: &str) {
    let Ok(line) = serde_json::from_str(line) else { return };
    let schema = Schema::named("progress").unwrap();
    assert_eq!(problem(schema, &line), None, "{line}");
}

/// The schema that a document of that command line has to follow: that of errors if an error is all that it tells.
pub fn of(args: &[&str], document: &Value) -> Schema {
    let fields = document.as_object().unwrap_or_else(|| panic!("{args:?}: this is no object: {document}"));
    if fields.contains_key("error") && fields.keys().all(|key| key == "error" || key == "recovered") {
        return Schema::named("error").unwrap();
    }
    let named = |command: &&str| {
        let (words, options): (Vec<_>, Vec<_>) = command.split(' ').partition(|word| !word.starts_with('-'));
        let has_words = words.is_empty() || args.windows(words.len()).any(|window| window == words);
        has_words && options.iter().all(|option| args.contains(option))
    };
    let commands = SCHEMAS.iter().flat_map(|schema| schema.commands.iter().copied());
    let command = commands.filter(named).max_by_key(|command| command.split(' ').count());
    let command = command.unwrap_or_else(|| panic!("{args:?} has no schema"));
    Schema::named(command).unwrap_or_else(|| panic!("{command} has no schema"))
}

/// What is wrong with a document; `None` if it follows the schema.
pub fn problem(schema: Schema, document: &Value) -> Option<String> {
    Judge::of(schema).problem(document)
}

/// A schema, ready to judge many documents.
pub struct Judge {
    schemas: Schemas,
    compiled: SchemaIndex,
}

impl Judge {
    /// Compiles it.
    pub fn of(schema: Schema) -> Self {
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.enable_format_assertions();
        let id = format!("urn:volsnap:schema:{}", schema.name);
        compiler.add_resource(&id, serde_json::from_str(schema.text).unwrap()).unwrap();
        let compiled = compiler.compile(&id, &mut schemas).unwrap_or_else(|error| panic!("{}: {error:#}", schema.name));
        Judge { schemas, compiled }
    }

    /// What is wrong with a document; `None` if it follows the schema.
    pub fn problem(&self, document: &Value) -> Option<String> {
        self.schemas.validate(document, self.compiled).err().map(|error| format!("{error:#}"))
    }
}
