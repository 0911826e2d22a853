"""The contestants that Darkroom is compared with. Their workers import nothing of Darkroom's."""
