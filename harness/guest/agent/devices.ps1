# Devices, services, driver packages, and who asks for a reboot.

# Get-PnpDevice is a view of Win32_PnPEntity and missing before Windows 10: the class is asked itself.
function Get-PvDevice {
    param([string] $Prefix)
    $found = @(foreach ($device in @(Get-PvInstance Win32_PnPEntity)) {
            if (Test-PvDevice $device $Prefix) {
                $device
            }
        })
    if ($found.Count -eq 0) {
        return # the next class takes Windows seconds
    }
    $drivers = @{}
    foreach ($driver in @(Get-PvInstance Win32_PnPSignedDriver)) {
        if ($driver.DeviceID) {
            $drivers[$driver.DeviceID] = $driver
        }
    }
    Get-PvSorted @($found | ForEach-Object { ConvertTo-PvDevice $_ $drivers[$_.PNPDeviceID] }) 'instance_id'
}

function Test-PvDevice {
    param($Device, [string] $Prefix)
    if ((Get-PvProperty $Device 'Present') -eq $false) {
        return $false # Windows 10 lists some that are gone
    }
    foreach ($id in @($Device.PNPDeviceID) + @($Device.HardwareID) + @($Device.CompatibleID)) {
        if ($null -ne $id -and $id.StartsWith($Prefix, [StringComparison]::OrdinalIgnoreCase)) {
            return $true
        }
    }
    $false
}

function ConvertTo-PvDevice {
    param($Device, $Driver)
    $class = Get-PvProperty $Device 'PNPClass' # not on Windows 7
    if ($null -eq $class -and $null -ne $Driver) {
        $class = $Driver.DeviceClass
    }
    [ordered]@{
        instance_id     = [string] $Device.PNPDeviceID
        name            = [string] $Device.Name
        device_class    = [string] $class
        hardware_ids    = ConvertTo-PvTexts $Device.HardwareID
        compatible_ids  = ConvertTo-PvTexts $Device.CompatibleID
        problem         = ConvertTo-PvNumber $Device.ConfigManagerErrorCode
        service         = [string] $Device.Service
        driver_version  = $(if ($Driver) { [string] $Driver.DriverVersion } else { '' })
        driver_provider = $(if ($Driver) { [string] $Driver.DriverProviderName } else { '' })
        driver_inf      = $(if ($Driver) { [string] $Driver.InfName } else { '' })
        signer          = $(if ($Driver) { [string] $Driver.Signer } else { '' })
    }
}

# Win32_BaseService is the parent of Win32_Service and Win32_SystemDriver; State and StartMode are not translated.
function Get-PvService {
    param([string[]] $Names)
    if ($Names.Count -eq 0) {
        return
    }
    $starts = @{ Boot = 'boot'; System = 'system'; Auto = 'auto'; Manual = 'demand'; Disabled = 'disabled' }
    $states = @{ Running = 'running'; Stopped = 'stopped' }
    $filter = @($Names | ForEach-Object { 'Name=' + (ConvertTo-PvWql $_) }) -join ' OR '
    $found = @{}
    foreach ($service in @(Get-PvInstance Win32_BaseService -Filter $filter)) {
        $found[$service.Name] = $service
    }
    foreach ($name in $Names) {
        if ($found.ContainsKey($name)) {
            $state = $states[$found[$name].State]
            [ordered]@{
                name  = [string] $found[$name].Name
                state = $(if ($state) { $state } else { 'changing' })
                start = $starts[$found[$name].StartMode]
            }
        }
    }
}

# xenbus_monitor reads and answers these (win-xenbus src/monitor/monitor.c; facts/pv-drivers.md 1.3).
function Get-PvPendingReboot {
    $key = 'SYSTEM\CurrentControlSet\Services\xenbus_monitor\Request'
    $waiting = foreach ($driver in @(Get-PvRegistryKey $key)) {
        if ((ConvertTo-PvNumber (Get-PvRegistryValue "$key\$driver" 'Reboot')) -ne 0) {
            [ordered]@{ driver = [string] $driver }
        }
    }
    Get-PvSorted @($waiting) 'driver'
}

# Get-WindowsDriver lists third-party packages; Windows 7 has no such command: there the INF files are read.
function Get-PvDriverPackage {
    if (Get-Command -Name Get-WindowsDriver -ErrorAction Ignore) {
        $packages = foreach ($package in @(Get-WindowsDriver -Online)) {
            [ordered]@{
                published    = [IO.Path]::GetFileName([string] $package.Driver)
                original     = ([string] $package.OriginalFileName -split '[\\/]')[-1]
                provider     = [string] $package.ProviderName
                device_class = [string] $package.ClassName
                version      = [string] $package.Version
            }
        }
    } else {
        $packages = Get-PvInfPackage
    }
    Get-PvSorted @($packages) 'published'
}

# %SystemRoot%\INF\oemN.inf is a copy of the package's INF, whose name the driver store still has.
function Get-PvInfPackage {
    $infs = @(Get-ChildItem -LiteralPath (Join-Path -Path $env:SystemRoot -ChildPath 'INF') | Where-Object { $_.Name -match '^oem\d+\.inf$' })
    $store = Join-Path -Path $env:SystemRoot -ChildPath 'System32' | Join-Path -ChildPath 'DriverStore' | Join-Path -ChildPath 'FileRepository'
    $sizes = @($infs | ForEach-Object { $_.Length })
    $originals = @(Get-ChildItem -LiteralPath $store -Recurse | Where-Object { -not $_.PSIsContainer -and $_.Extension -eq '.inf' -and $_.Length -in $sizes })
    foreach ($inf in $infs) {
        $text = [IO.File]::ReadAllText($inf.FullName)
        $hash = Get-PvSha256 $inf.FullName
        $original = @($originals | Where-Object { $_.Length -eq $inf.Length -and (Get-PvSha256 $_.FullName) -eq $hash })
        [ordered]@{
            published    = $inf.Name
            original     = $(if ($original.Count) { $original[0].Name } else { '' })
            provider     = Get-PvInfValue $text 'Provider'
            device_class = Get-PvInfValue $text 'Class'
            version      = ((Get-PvInfValue $text 'DriverVer') -split ',')[-1].Trim()
        }
    }
}

# A value of an INF's [Version] section; %Token% stands for one of [Strings].
function Get-PvInfValue {
    param([string] $Text, [string] $Key)
    $value = Get-PvInfEntry -Text $Text -Section 'Version' -Key $Key
    if ($value -match '^%(.+)%$') {
        $value = Get-PvInfEntry -Text $Text -Section 'Strings' -Key $Matches[1]
    }
    $value
}

function Get-PvInfEntry {
    param([string] $Text, [string] $Section, [string] $Key)
    $here = $false
    foreach ($line in $Text -split '\r?\n') {
        if ($line -match '^\s*\[(.+?)\]') {
            $here = $Matches[1] -eq $Section
        } elseif ($here -and $line -match ('^\s*{0}\s*=\s*(?:"((?:[^"]|"")*)"|([^;]*))' -f [regex]::Escape($Key))) {
            # a quoted text holds doubled quotes
            return $(if ($Matches.ContainsKey(1)) { $Matches[1].Replace('""', '"') } else { $Matches[2].Trim() })
        }
    }
    ''
}
