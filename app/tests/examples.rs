//! The example programs of the documentation run to their end. They check for themselves what they show.

#[path = "../examples/deployer.rs"]
mod deployer;
#[path = "../examples/embed.rs"]
mod embed;

use std::error::Error;

#[test]
fn a_host_embeds_volsnap() -> Result<(), Box<dyn Error>> {
    embed::main()
}

#[test]
fn a_host_brings_its_own_deployer() -> Result<(), Box<dyn Error>> {
    deployer::main()
}
