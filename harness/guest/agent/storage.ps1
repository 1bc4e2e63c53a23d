# Disks, volumes, CDs, and patterns on a raw disk.

# BusType of MSFT_Disk (Windows Storage Management API).
$script:PvBuses = @{ 1 = 'SCSI'; 2 = 'ATAPI'; 3 = 'ATA'; 6 = 'FibreChannel'; 7 = 'USB'; 8 = 'RAID'; 9 = 'iSCSI'; 10 = 'SAS'; 11 = 'SATA'; 17 = 'NVMe' }

function Get-PvDisk {
    try {
        $found = Get-PvInstance MSFT_Disk 'root/Microsoft/Windows/Storage' | ForEach-Object { ConvertTo-PvDisk $_ }
    } catch {
        if (-not (Test-PvNoClass $_)) {
            throw
        }
        $found = Get-PvInstance Win32_DiskDrive | ForEach-Object { ConvertTo-PvOldDisk $_ }
    }
    $found | Sort-Object -Property { $_.number }
}

function ConvertTo-PvDisk {
    param($Disk)
    $bus = $script:PvBuses[[int] $Disk.BusType]
    [ordered]@{
        number          = [long] $Disk.Number
        name            = [string] $Disk.FriendlyName
        serial          = ([string] $Disk.SerialNumber).Trim()
        target          = Get-PvTarget ([string] $Disk.FriendlyName) ([string] $Disk.SerialNumber)
        bus             = $(if ($bus) { $bus } else { 'other' })
        size            = [long] $Disk.Size
        logical_sector  = [long] $Disk.LogicalSectorSize
        physical_sector = [long] $Disk.PhysicalSectorSize
        offline         = [bool] $Disk.IsOffline
        read_only       = [bool] $Disk.IsReadOnly
    }
}

# Windows 7 does not say by CIM whether a disk is offline or read only, nor its physical sector.
function ConvertTo-PvOldDisk {
    param($Disk)
    $name = ([string] $Disk.Model) -replace ' SCSI Disk Device$', ''
    [ordered]@{
        number          = [long] $Disk.Index
        name            = $name
        serial          = ([string] $Disk.SerialNumber).Trim()
        target          = Get-PvTarget $name ([string] $Disk.SerialNumber)
        bus             = [string] $Disk.InterfaceType
        size            = ConvertTo-PvNumber $Disk.Size
        logical_sector  = ConvertTo-PvNumber $Disk.BytesPerSector
        physical_sector = ConvertTo-PvNumber $Disk.BytesPerSector
        offline         = $false
        read_only       = $false
    }
}

# XENVBD: "XENSRC PVDISK", and page 0x80 holds the target id in decimal (facts/pv-drivers.md 5).
function Get-PvTarget {
    param([string] $Name, [string] $Serial)
    if ($Name -match '^XENSRC\s+PVDISK' -and $Serial.Trim() -match '^\d{1,4}$') {
        return [long] $Serial
    }
    [long] -1
}

# DriveType 3 is a fixed disk, 5 a CD. A drive without medium or file system is not mounted.
function Get-PvVolume {
    $volumes = foreach ($volume in @(Get-PvInstance Win32_LogicalDisk -Filter 'DriveType=3 OR DriveType=5')) {
        if ($volume.FileSystem) {
            [ordered]@{
                path        = [string] $volume.DeviceID
                label       = [string] $volume.VolumeName
                file_system = [string] $volume.FileSystem
                size        = ConvertTo-PvNumber $volume.Size
                free        = ConvertTo-PvNumber $volume.FreeSpace
            }
        }
    }
    Get-PvSorted @($volumes) 'path'
}

# -- CDs

function Get-PvCdRoot {
    param([string] $Label)
    $cd = Get-PvInstance Win32_LogicalDisk -Filter 'DriveType=5' | Where-Object { $_.VolumeName -eq $Label } | Select-Object -First 1
    if (-not $cd) {
        Stop-PvOperation 'not-found' "there is no CD with the label $Label"
    }
    $cd.DeviceID + [IO.Path]::DirectorySeparatorChar
}

function Get-PvCdFile {
    param([string] $Label)
    $root = Get-PvCdRoot $Label
    $files = foreach ($file in @(Get-ChildItem -LiteralPath $root -Recurse -Force | Where-Object { -not $_.PSIsContainer })) {
        [ordered]@{ path = $file.FullName.Substring($root.Length); size = $file.Length }
    }
    Get-PvSorted @($files) 'path'
}

function Copy-PvCdFile {
    param([string] $Label, [string] $Name, [string] $Path)
    $source = (Get-PvCdRoot $Label) + $Name
    New-PvFolder ([IO.Path]::GetDirectoryName($Path))
    [IO.File]::Copy($source, $Path, $true)
    [IO.File]::SetAttributes($Path, 'Normal') # a CD's files are read only
    Get-PvFile $Path
}

# -- patterns

$script:PvCreateFile = '[DllImport("kernel32.dll", CharSet = CharSet.Unicode, SetLastError = true)]
public static extern Microsoft.Win32.SafeHandles.SafeFileHandle CreateFile(string name, uint access, uint share,
    IntPtr security, uint disposition, uint flags, IntPtr template);'

# A stream over a raw disk. .NET refuses device paths, so the handle comes from CreateFile: 3 shares reading
# and writing, 3 is OPEN_EXISTING, the flag is FILE_FLAG_WRITE_THROUGH. Windows does not cache raw disks.
function Open-PvRawDisk {
    param([long] $Target, [bool] $Write)
    $disk = Get-PvDisk | Where-Object { $_.target -eq $Target } | Select-Object -First 1
    if ($Target -lt 0 -or -not $disk) {
        Stop-PvOperation 'not-found' "there is no PV disk with the target id $Target"
    }
    $kernel = Add-Type -MemberDefinition $script:PvCreateFile -Name RawDisk -Namespace PvHarness -PassThru
    $access = $(if ($Write) { [uint32] 3221225472 } else { [uint32] 2147483648 })
    $handle = $kernel::CreateFile("\\.\PhysicalDrive$($disk.number)", $access, 3, [IntPtr]::Zero, 3, [uint32] 2147483648, [IntPtr]::Zero)
    if ($handle.IsInvalid) {
        throw [ComponentModel.Win32Exception]::new()
    }
    $mode = $(if ($Write) { [IO.FileAccess]::ReadWrite } else { [IO.FileAccess]::Read })
    [IO.FileStream]::new($handle, $mode, 1, $false)
}

function Write-PvPattern {
    param([long] $Target, [long] $Seed, [long] $Blocks, [long] $BlockSize)
    Assert-PvBlock $Blocks $BlockSize
    $whole = [Security.Cryptography.SHA256]::Create()
    $disk = Open-PvRawDisk $Target $true
    try {
        for ($number = 0; $number -lt $Blocks; $number++) {
            $block = Get-PvPatternBlock -Seed $Seed -Number $number -BlockSize $BlockSize
            $disk.Write($block, 0, $block.Length)
            $null = $whole.TransformBlock($block, 0, $block.Length, $null, 0)
        }
        $disk.Flush($true)
    } finally {
        $disk.Dispose()
    }
    ConvertTo-PvPattern -Whole $whole -Blocks $Blocks -BlockSize $BlockSize
}

function Read-PvPattern {
    param([long] $Target, [long] $Blocks, [long] $BlockSize)
    Assert-PvBlock $Blocks $BlockSize
    $whole = [Security.Cryptography.SHA256]::Create()
    $block = [byte[]]::new($BlockSize)
    $disk = Open-PvRawDisk $Target $false
    try {
        for ($number = 0; $number -lt $Blocks; $number++) {
            for ($have = 0; $have -lt $BlockSize; $have += $got) {
                $got = $disk.Read($block, $have, $BlockSize - $have)
                if ($got -eq 0) {
                    Stop-PvOperation 'command-failed' "the disk ends in block $number"
                }
            }
            $null = $whole.TransformBlock($block, 0, $block.Length, $null, 0)
        }
    } finally {
        $disk.Dispose()
    }
    ConvertTo-PvPattern -Whole $whole -Blocks $Blocks -BlockSize $BlockSize
}

function Assert-PvBlock {
    param([long] $Blocks, [long] $BlockSize)
    if ($Blocks -lt 1 -or $BlockSize -lt 512 -or $BlockSize % 512 -ne 0) {
        Stop-PvOperation 'bad-parameter' 'blocks must be at least 1, block_size a multiple of 512'
    }
}

function Get-PvPatternBlock {
    param([long] $Seed, [long] $Number, [long] $BlockSize)
    $name = [Text.Encoding]::ASCII.GetBytes(('{0}:{1}' -f $Seed, $Number))
    $hasher = [Security.Cryptography.SHA256]::Create()
    $digest = $hasher.ComputeHash($name)
    $hasher.Dispose()
    $block = [byte[]]::new($BlockSize)
    [Array]::Copy($digest, $block, $digest.Length)
    for ($have = $digest.Length; $have -lt $BlockSize; $have *= 2) {
        [Buffer]::BlockCopy($block, 0, $block, $have, [Math]::Min($have, $BlockSize - $have))
    }
    , $block
}

function ConvertTo-PvPattern {
    param([Security.Cryptography.SHA256] $Whole, [long] $Blocks, [long] $BlockSize)
    $null = $Whole.TransformFinalBlock([byte[]]::new(0), 0, 0)
    [ordered]@{ sha256 = ConvertTo-PvHex $Whole.Hash; blocks = $Blocks; block_size = $BlockSize }
}
