//! What a person does to the containers in the middle of a restore.

use super::{
    oracle::{Allowed, Before},
    world::World,
};

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hand {
    /// Removes a running member.
    Remove,
    /// Starts the member that was stopped.
    Start,
    /// Restarts a member.
    Restart,
    /// Stops a member.
    Stop,
    /// Starts a container of something else on a member's volume.
    Stranger,
    /// Renames a member.
    Rename,
}

/// All of them.
pub const HANDS: [Hand; 6] = [Hand::Remove, Hand::Start, Hand::Restart, Hand::Stop, Hand::Stranger, Hand::Rename];

/// The container of something else.
pub const STRANGER: &str = "stranger";
/// The member on whose volume it runs.
pub const STRANGED: &str = "plain";
/// What a member is called after it was renamed.
pub const RENAMED: &str = "renamed";

impl Hand {
    /// Does it, and notes what may come of it.
    pub fn act(self, world: &World, before: &mut Before) {
        let mut allow = |name, states: &[Allowed]| drop(before.runs.insert(name, states.iter().copied().collect()));
        let docker = |args: &[&str]| {
            // What a person asks for may be refused: a container is being stopped, or renamed, just now.
            if let Err(why) = world.engine.try_docker(args) {
                println!("docker {}: {why}", args.join(" "));
            }
        };
        match self {
            Hand::Remove => {
                docker(&["rm", "--force", "plain"]);
                allow("plain", &[Allowed::Gone, Allowed::Running]);
            }
            Hand::Start => {
                docker(&["start", "resting"]);
                allow("resting", &[Allowed::Running, Allowed::Stopped]);
                before.touched = true;
            }
            Hand::Restart => {
                docker(&["restart", "eternal"]);
                before.touched = true;
            }
            Hand::Stop => {
                docker(&["stop", "lasting"]);
                allow("lasting", &[Allowed::Running, Allowed::Stopped]);
            }
            Hand::Stranger => {
                world.make_stranger(STRANGER, STRANGED);
                before.strangers.insert(STRANGER.into());
                before.touched = true;
            }
            Hand::Rename => {
                docker(&["rename", "lasting", RENAMED]);
                allow("lasting", &[Allowed::Gone, Allowed::Running, Allowed::Stopped]);
                before.strangers.insert(RENAMED.into());
            }
        }
    }
}
