//! What could be registered.

use volsnap::view::{BondView, DiscoveryView, ProspectView, SuggestionView};

use super::{
    table::{
        Column::{Number, Text},
        bytes, join, labelled, number, table,
    },
    workload::containers,
};

/// The answer of `workload add --dry-run`.
pub fn prospect(view: &ProspectView) -> String {
    let volumes = table(
        [Text("VOLUME"), Text("DIRECTORY"), Number("SIZE"), Number("ENTRIES")],
        view.volumes.iter().map(|v| {
            let size = v.bytes.map_or("?".into(), bytes);
            [v.target.clone(), v.path.clone(), size, v.entries.map_or("?".into(), number)]
        }),
    );
    let mut notes = Vec::new();
    for volume in &view.volumes {
        notes.extend(volume.problem.iter().map(|problem| format!("{}: {problem}", volume.target)));
        let other = |other: &String| format!("{} is a volume of workload {other} too", volume.target);
        notes.extend(volume.also_of.iter().map(other));
    }
    join([
        match &view.taken_for {
            Some(bond) => format!("would register {}: {}", view.name, taken_for(bond)),
            None => format!("would register {}", view.name),
        },
        volumes,
        containers(&view.containers),
        labelled("left out", &view.left_out),
        labelled("note", &notes),
        suggestions(&view.suggestions),
        "nothing was registered; the same without --dry-run registers it".into(),
    ])
}

/// What a name alone was taken for, as part of a sentence.
pub fn taken_for(bond: &BondView) -> String {
    match bond.kind {
        "container" => format!("the container {}", bond.name),
        _ => format!("the compose project {}", bond.name),
    }
}

/// Hooks to think about.
pub fn suggestions(suggestions: &[SuggestionView]) -> String {
    let lines = suggestions.iter().map(|s| {
        let SuggestionView { container, database, register, .. } = s;
        format!(
            "suggestion: {container} is {database}; to have it write down what it holds before each snapshot:\n  {register}"
        )
    });
    join(lines)
}

/// The answer of `workload discover`.
pub fn discovery(view: &DiscoveryView) -> String {
    let without = join(view.without_volumes.iter().map(|none| {
        format!("no volume can be made of the mounts of {}: {}", taken_for(&none.bond), none.left_out.join("; "))
    }));
    if view.found.is_empty() {
        let nothing = "nothing to register: every container with volumes belongs to a registered workload";
        return join([nothing.to_string(), without]);
    }
    let found = table(
        [Text("FOUND"), Number("CONTAINERS"), Text("VOLUMES"), Text("TO REGISTER IT")],
        view.found.iter().map(|f| {
            let volumes: Vec<&str> = f.volumes.iter().map(|v| v.target.as_str()).collect();
            let count = number(f.containers.len() as u64);
            [taken_for(&f.bond), count, volumes.join(" "), f.register.clone()]
        }),
    );
    join([found, without])
}
