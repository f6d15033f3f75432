//! Databases, recognised by their image's name: what a person might want to run before a snapshot. Only ever a
//! suggestion in text.

/// A database system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// PostgreSQL and what is built on it.
    Postgres,
    /// MySQL and Percona Server.
    MySql,
    /// MariaDB.
    MariaDb,
    /// MongoDB.
    MongoDb,
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
}

impl Database {
    /// The database that an image's name speaks of, whatever its registry, owner and tag.
    #[must_use]
    pub fn of_image(image: &str) -> Option<Database> {
        let name = image.split('@').next().unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default();
        let name = name.split(':').next().unwrap_or_default().to_lowercase();
        // `postgres-exporter` and the like talk to a database and are none.
        let companions =
            ["exporter", "admin", "backup", "operator", "proxy", "express", "commander", "insight", "sentinel"];
        if companions.iter().any(|companion| name.contains(companion)) {
            return None;
        }
        let begins = |names: &[&str]| {
            names
                .iter()
                .any(|begin| name.strip_prefix(begin).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
        };
        if begins(&["postgres", "postgresql", "postgis", "pgvector", "timescaledb", "timescaledb-ha", "spilo"]) {
            Some(Database::Postgres)
        } else if begins(&["mariadb"]) {
            Some(Database::MariaDb)
        } else if begins(&["mysql", "mysql-server", "percona", "percona-server"]) {
            Some(Database::MySql)
        } else if begins(&["mongo", "mongodb", "mongodb-community-server"]) {
            Some(Database::MongoDb)
        } else if begins(&["redis", "redis-stack", "redis-stack-server"]) {
            Some(Database::Redis)
        } else if begins(&["valkey"]) {
            Some(Database::Valkey)
        } else {
            None
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Database::Postgres => "PostgreSQL",
            Database::MySql => "MySQL",
            Database::MariaDb => "MariaDB",
            Database::MongoDb => "MongoDB",
            Database::Redis => "Redis",
            Database::Valkey => "Valkey",
        }
    }

    /// What makes it write down what it holds in memory, as words of a command that runs inside its container.
    ///
    /// None of these is needed: a frozen snapshot is what a power cut leaves, and each of these systems recovers from
    /// that by its own log. They shorten that recovery; for Redis without an append-only file they are the difference
    /// between now and its last save.
    #[must_use]
    pub fn flush(self) -> &'static [&'static str] {
        match self {
            Database::Postgres => &["sh", "-c", r#"psql -U "${POSTGRES_USER:-postgres}" -d postgres -c CHECKPOINT"#],
            Database::MySql => &["sh", "-c", r#"MYSQL_PWD="$MYSQL_ROOT_PASSWORD" mysql -uroot -e "FLUSH LOGS""#],
            Database::MariaDb => &["sh", "-c", r#"MYSQL_PWD="$MARIADB_ROOT_PASSWORD" mariadb -uroot -e "FLUSH LOGS""#],
            Database::MongoDb => &["mongosh", "--quiet", "--eval", "db.adminCommand({fsync: 1})"],
            Database::Redis => &["redis-cli", "save"],
            Database::Valkey => &["valkey-cli", "save"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_known_by_the_last_part_of_their_image() {
        for (image, database) in [
            ("postgres", Some(Database::Postgres)),
            ("postgres:16-alpine", Some(Database::Postgres)),
            ("docker.io/library/postgres@sha256:0123", Some(Database::Postgres)),
            ("localhost:5000/team/postgresql:9", Some(Database::Postgres)),
            ("timescale/timescaledb-ha:pg16", Some(Database::Postgres)),
            ("mariadb:11", Some(Database::MariaDb)),
            ("mysql:8.4", Some(Database::MySql)),
            ("mongo", Some(Database::MongoDb)),
            ("redis/redis-stack:latest", Some(Database::Redis)),
            ("valkey/valkey:8", Some(Database::Valkey)),
            ("prometheuscommunity/postgres-exporter", None),
            ("mongo-express", None),
            ("dpage/pgadmin4", None),
            ("rediscommander/redis-commander", None),
            ("redissimilar:1", None),
            ("nginx", None),
            ("", None),
        ] {
            assert_eq!(Database::of_image(image), database, "{image}");
        }
    }
}
