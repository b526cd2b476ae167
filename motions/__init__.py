"""What a motion is: types, rotations, kinematics, file formats. Knows no robot and no learning."""
